"""The jobs API as a plain FastAPI service over asyncpg: the same routes, statements and transactions."""
import asyncio
import hashlib
import json
import os
import pathlib
import uuid
from contextlib import asynccontextmanager
from typing import Literal

import asyncpg
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

SQL = pathlib.Path(__file__).parents[2] / "shared/engine/src/jobs"
DETAILS = (SQL / "details.sql").read_text()
SUBMIT = (SQL / "submit.sql").read_text() + DETAILS
READ = f"select j.*, details.* from jobs as j {DETAILS} where j.id = $1"
SHOWN = ("tool", "state", "result_ref", "trace_id", "attempt", "parent_job_id", "priority", "position_in_queue",
         "estimated_duration_secs", "created_at", "started_at", "completed_at", "expires_at")


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    query: str | None = None
    pmids: list[str] | None = None
    query_key: str | None = None
    limit: int | None = Field(None, ge=1)


class NewJob(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tool: Literal["pubmed.sync"]
    params: Params
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)
    ttl_hours: int = Field(24, ge=1, le=168)
    priority: int = Field(0, ge=0, le=10)


@asynccontextmanager
async def lifespan(app):
    size = int(os.environ["POOL"])
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size)
    app.state.waking = None
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


async def wake(app):
    """Tells workers of all jobs of the last ten milliseconds."""
    await asyncio.sleep(0.01)
    app.state.waking = None
    await app.state.pool.execute("select set_config('synchronous_commit', 'off', true), pg_notify('bio_mcp_work', '')")


def decoded(value):
    return None if value is None else json.loads(value)


@app.post("/v1/jobs", status_code=202)
async def submit(job: NewJob, request: Request, response: Response):
    params = job.params.model_dump(exclude_none=True)
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    trace_id = uuid.uuid4().hex
    row = await request.app.state.pool.fetchrow(
        SUBMIT, uuid.uuid4(), job.tool, canonical, hashlib.sha256(canonical.encode()).hexdigest(), job.idempotency_key,
        "local", job.priority, job.ttl_hours, trace_id, None, 21600.0, None, 1000, uuid.uuid4(), "search", None)
    if row is None:
        raise HTTPException(429, "too many jobs, or one like it")
    if request.app.state.waking is None:
        request.app.state.waking = asyncio.create_task(wake(request.app))
    response.headers["Location"] = f"/v1/jobs/{row['id']}"
    response.headers["Retry-After"] = "1"
    response.headers["X-Trace-Id"] = trace_id
    return {"job_id": row["id"], "tool": row["tool"], "state": row["state"], "created_at": row["created_at"],
            "position_in_queue": row["position_in_queue"], "estimated_duration_secs": row["estimated_duration_secs"]}


@app.get("/v1/jobs/{job_id}")
async def read(job_id: uuid.UUID, request: Request, response: Response):
    row = await request.app.state.pool.fetchrow(READ, job_id)
    if row is None:
        raise HTTPException(404, "there is no such job")
    tag = f'"{row["version"]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304)
    response.headers["ETag"] = tag
    ended = row["started_at"] and row["completed_at"]
    progress = decoded(row["progress"])
    return {"job_id": row["id"], "params": decoded(row["params"]), "progress": progress, "result": decoded(row["result"]),
            "error": decoded(row["error"]), "completed_with_failures": row["state"] == "succeeded" and bool(progress.get("failed")),
            "duration_ms": int((row["completed_at"] - row["started_at"]).total_seconds() * 1000) if ended else None,
            **{name: row[name] for name in SHOWN}}
