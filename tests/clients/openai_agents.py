"""OpenAI's agents SDK: its MCP server, and tools as functions held to their schema or not."""

import json

from agents.mcp import MCPServerStreamableHttp, MCPUtil

from plan import each, listed, run, say, texts, url


async def main():
    async with MCPServerStreamableHttp(params={"url": url}, cache_tools_list=True) as server:
        tools = await server.list_tools()
        listed(tools)
        for tool in tools:
            for strict, to in ((False, "openai"), (True, "openai-strict")):
                made = MCPUtil.to_function_tool(tool, server, strict)
                # It gives up without a word on what it cannot make strict.
                assert made.strict_json_schema == strict, tool.name
                schema = {"name": made.name, "description": made.description, "parameters": made.params_json_schema}
                say("converted", to=to, tool=tool.name, schema=json.loads(json.dumps(schema)))

        async def call(tool, arguments):
            result = await server.call_tool(tool, arguments)
            return result.is_error, texts(result.content)

        await each(call)


run(main)
