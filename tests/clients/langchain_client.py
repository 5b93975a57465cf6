"""LangChain's adapters, with what they make of tools for Anthropic's and OpenAI's models."""

from langchain_anthropic import convert_to_anthropic_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from plan import each, run, say, url


async def main():
    client = MultiServerMCPClient({"bio": {"transport": "streamable_http", "url": url}})
    async with client.session("bio") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        for name, tool in tools.items():
            say("listed", tool=name, schema=tool.args_schema)
            say("converted", to="anthropic", tool=name, schema=convert_to_anthropic_tool(tool))
            say("converted", to="openai", tool=name, schema=convert_to_openai_tool(tool)["function"])
            strict = convert_to_openai_tool(tool, strict=True)["function"]
            say("converted", to="openai-strict", tool=name, schema=strict)

        async def call(tool, arguments):
            message = await tools[tool].ainvoke({"type": "tool_call", "id": "1", "name": tool, "args": arguments})
            return message.status == "error", message.text

        await each(call)


run(main)
