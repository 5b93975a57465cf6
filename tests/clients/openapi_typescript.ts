// Uses the types that openapi-typescript made of the document, with openapi-fetch: submits, polls, lists, reads, and is
// refused. Compiled strictly: what is not as the types say does not compile.
//
// Arguments: the address of the server, and a token.
import createClient from "openapi-fetch";
import type { components, paths } from "./archive.js";

type Submission = components["schemas"]["PubmedSyncSubmission"];
type Failure = components["schemas"]["ErrorBody"];

declare const process: { argv: string[] };
const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl: baseUrl ?? "", headers: { Authorization: `Bearer ${token}` } });

function must(holds: boolean, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

const body: Submission = { tool: "pubmed.sync", params: { pmids: ["1004", "1005"] }, priority: 4 };
const key = { header: { "Idempotency-Key": "from-typescript" } };
const submitted = await client.POST("/v1/jobs", { params: key, body });
must(submitted.data !== undefined, submitted.error);
const id: string = submitted.data.job_id;
const again = await client.POST("/v1/jobs", { params: key, body });
must(again.data?.job_id === id, again.error);

let state: components["schemas"]["JobState"] = submitted.data.state;
for (let asked = 0; asked < 20 && (state === "queued" || state === "running"); asked++) {
  const job = await client.GET("/v1/jobs/{id}", { params: { path: { id }, query: { wait: 25 } } });
  must(job.data !== undefined, job.error);
  state = job.data.state;
}
must(state === "succeeded", state);

const page = await client.GET("/v1/jobs", { params: { query: { state: "succeeded", tool: "pubmed.sync" } } });
must(page.data !== undefined && page.data.jobs.some((job) => job.job_id === id), page);

const record = await client.GET("/v1/pubmed/{pmid}", { params: { path: { pmid: "1004" } } });
must(record.data !== undefined && record.data.found && record.data.pmid === "1004", record);

const called = await client.POST("/v1/mcp/invoke", { body: { tool: "pubmed.get", params: { pmid: "1005" } } });
must(called.data !== undefined && "result" in called.data, called.error);

const tools = await client.GET("/v1/mcp/tools");
must(tools.data !== undefined && tools.data.tools.some((tool) => tool.name === "pubmed.sync"), tools.error);

const unknown = { path: { id: "00000000-0000-0000-0000-000000000001" } };
const missing = await client.GET("/v1/jobs/{id}", { params: unknown });
const failure: Failure | undefined = missing.error;
must(failure?.error_code === "JOB_NOT_FOUND", missing);

// @ts-expect-error: a tool that makes no job is not in the type of what can be submitted.
const fast: components["schemas"]["PubmedSyncSubmission"]["tool"] = "pubmed.get";
const refused = await client.POST("/v1/jobs", { body: { ...body, params: { pmids: ["x"] } } });
must(refused.error?.error_code === "VALIDATION_ERROR", [refused, fast]);
must(refused.error.details?.[0]?.pointer === "/params/pmids/0", refused.error);
console.log("done");
