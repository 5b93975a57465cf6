"""The official Python client, second generation, in both eras of the protocol."""

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from plan import each, listed, run, stdio, texts, url


async def main():
    for mode in ("auto", "legacy"):
        target = streamable_http_client(url) if url else stdio_client(StdioServerParameters(**stdio))
        async with Client(target, mode=mode) as client:
            listed((await client.list_tools()).tools)

            async def call(tool, arguments):
                result = await client.call_tool(tool, arguments)
                return result.is_error, texts(result.content)

            await each(call)


run(main)
