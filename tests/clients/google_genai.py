"""Google's SDK: the official client, and what it makes of tools for Gemini."""

from google.genai._mcp_utils import mcp_to_gemini_tools
from mcp.client.client import Client

from plan import each, listed, run, say, texts, url


async def main():
    async with Client(url) as client:
        tools = (await client.list_tools()).tools
        listed(tools)
        for tool in mcp_to_gemini_tools(tools):
            made = tool.function_declarations[0]
            schema = made.model_dump(mode="json", exclude_none=True)
            say("converted", to="gemini", tool=made.name, schema=schema)

        async def call(tool, arguments):
            result = await client.call_tool(tool, arguments)
            return result.is_error, texts(result.content)

        await each(call)


run(main)
