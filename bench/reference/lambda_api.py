"""A function that does what `api` does at its start, in Python: FastAPI behind Mangum, clients of AWS, a pool of Postgres."""
import os

import boto3
import psycopg
from fastapi import FastAPI
from mangum import Mangum

s3 = boto3.client("s3")
sqs = boto3.client("sqs")
dynamodb = boto3.client("dynamodb")
app = FastAPI()


@app.get("/healthz")
def healthz():
    return {"status": "healthy"}


@app.get("/v1/jobs/{job_id}")
def job(job_id: str):
    with psycopg.connect(os.environ["BIO_MCP_DATABASE_URL"]) as connection:
        return connection.execute("select to_jsonb(jobs) from jobs where id = %s", [job_id]).fetchone()


handler = Mangum(app, lifespan="off")
