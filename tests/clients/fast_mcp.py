"""FastMCP's client."""

from fastmcp import Client

from plan import each, listed, run, texts, url


async def main():
    async with Client(url) as client:
        listed(await client.list_tools())

        async def call(tool, arguments):
            result = await client.call_tool(tool, arguments)
            return result.is_error, texts(result.content)

        await each(call)


run(main)
