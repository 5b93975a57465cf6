"""Pydantic AI: its toolset, and its schemas for OpenAI's and Google's models."""

from pydantic_ai.mcp import MCPToolset
from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

from plan import each, listed, run, say, url


async def main():
    async with MCPToolset(url) as toolset:
        tools = await toolset.list_tools()
        listed(tools)
        for tool in tools:
            about = {"name": tool.name, "description": tool.description}
            strict = OpenAIJsonSchemaTransformer(dict(tool.input_schema), strict=True).walk()
            say("converted", to="openai-strict", tool=tool.name, schema={**about, "parameters": strict})
            google = GoogleJsonSchemaTransformer(dict(tool.input_schema), strict=None).walk()
            say("converted", to="google-json", tool=tool.name, schema={**about, "parameters": google})

        async def call(tool, arguments):
            return False, await toolset.direct_call_tool(tool, arguments)

        await each(call)


run(main)
