"""The official Python client, first generation."""

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from plan import each, listed, run, stdio, texts, url


async def main():
    target = streamable_http_client(url) if url else stdio_client(StdioServerParameters(**stdio))
    async with target as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        listed((await session.list_tools()).tools)

        async def call(tool, arguments):
            result = await session.call_tool(tool, arguments)
            return result.isError, texts(result.content)

        await each(call)


run(main)
