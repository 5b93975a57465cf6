"""What every client does: it reads a plan on standard input, lists, converts and calls tools, and prints what came to
its caller as JSON lines. Plan: {url | stdio: {command, args, env}, calls: [{tool, arguments}]}."""

import asyncio
import json
import sys

plan = json.load(sys.stdin)
url = plan.get("url")
stdio = plan.get("stdio")


def say(kind, **more):
    print(json.dumps({"kind": kind, **more}), flush=True)


def listed(tools):
    """Tools of the official client, whichever generation."""
    for tool in tools:
        schema = tool.input_schema if hasattr(tool, "input_schema") else tool.inputSchema
        say("listed", tool=tool.name, schema=schema)


async def each(call):
    """Makes every call of the plan with `call`, which returns whether it is an error and its text, or raises."""
    for one in plan["calls"]:
        try:
            is_error, text = await call(one["tool"], one["arguments"])
        except Exception as error:  # What a caller sees of a failure is its text.
            is_error, text = True, f"{type(error).__name__}: {error}"
        say("called", tool=one["tool"], is_error=bool(is_error), text=str(text))


def texts(content):
    return "\n".join(getattr(block, "text", "") for block in content)


def run(main):
    asyncio.run(main())
