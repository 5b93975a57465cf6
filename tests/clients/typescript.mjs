// The official TypeScript clients: `typescript.mjs NODE_MODULES 1|2`, with a plan on standard input (see plan.py).
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const [packages, generation] = process.argv.slice(2);
const load = createRequire(`${packages}/`);
const plan = JSON.parse(await text(process.stdin));
const say = (line) => console.log(JSON.stringify(line));

const from = { 1: ["sdk/client/index.js", "sdk/client/streamableHttp.js", "sdk/client/stdio.js"],
               2: ["client", "client", "client/stdio"] }[generation];
const [client, http, stdio] = from.map((path) => load(`@modelcontextprotocol/${path}`));
const modes = generation === "2" ? ["auto", "legacy"] : [undefined];

for (const mode of modes) {
  const options = mode && { versionNegotiation: { mode } };
  const one = new client.Client({ name: "a test", version: "1" }, options);
  await one.connect(plan.url ? new http.StreamableHTTPClientTransport(new URL(plan.url))
                             : new stdio.StdioClientTransport(plan.stdio));
  for (const tool of (await one.listTools()).tools) {
    say({ kind: "listed", tool: tool.name, schema: tool.inputSchema });
  }
  for (const { tool, arguments: given } of plan.calls) {
    const called = await one.callTool({ name: tool, arguments: given }).then(
      (result) => [result.isError === true, result.content.map((block) => block.text).join("\n")],
      (error) => [true, String(error)]);
    say({ kind: "called", tool, is_error: called[0], text: called[1] });
  }
  await one.close();
}
