"""Uses the client that openapi-python-client made of the document: submits, polls, lists, reads, and is refused.

Arguments: the directory of the generated package `archive_client`, and the address of the server.
"""

import sys
import uuid

sys.path.insert(0, sys.argv[1])

from archive_client import AuthenticatedClient  # noqa: E402
from archive_client.api.jobs import get_job, list_jobs, submit_job  # noqa: E402
from archive_client.api.records import get_record  # noqa: E402
from archive_client.api.tools import invoke_tool, list_tools  # noqa: E402
from archive_client.models import (  # noqa: E402
    ErrorBody,
    RecordView,
    Invoked,
    JobPage,
    JobState,
    JobView,
    ListJobsState,
    PubmedGetCall,
    PubmedGetParams,
    PubmedSyncParams,
    PubmedSyncSubmission,
    Submitted,
    ToolList,
)

client = AuthenticatedClient(base_url=sys.argv[2], token=sys.argv[3])

params = PubmedSyncParams.from_dict({"pmids": ["1001", "1002", "1003"]})
body = PubmedSyncSubmission.from_dict({"tool": "pubmed.sync", "params": params.to_dict(), "priority": 3})
submitted = submit_job.sync(client=client, body=body, idempotency_key="from-python")
assert isinstance(submitted, Submitted), submitted
assert isinstance(submitted.job_id, uuid.UUID), submitted
again = submit_job.sync(client=client, body=body, idempotency_key="from-python")
assert isinstance(again, Submitted) and again.job_id == submitted.job_id, again

for _ in range(20):
    job = get_job.sync(submitted.job_id, client=client, wait=25)
    assert isinstance(job, JobView), job
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        break
assert job.state is JobState.SUCCEEDED, job
assert job.priority == 3 and job.completed_at is not None, job

page = list_jobs.sync(client=client, state=ListJobsState.SUCCEEDED)
assert isinstance(page, JobPage) and submitted.job_id in [one.job_id for one in page.jobs], page

record = get_record.sync("1002", client=client)
assert isinstance(record, RecordView) and record.found and record.pmid == "1002", record

called = PubmedGetCall.from_dict({"tool": "pubmed.get", "params": PubmedGetParams(pmid="1003").to_dict()})
answer = invoke_tool.sync(client=client, body=called)
assert isinstance(answer, Invoked) and answer.result["found"], answer

tools = list_tools.sync(client=client)
assert isinstance(tools, ToolList) and "pubmed.sync" in [tool.name for tool in tools.tools], tools

missing = get_job.sync(uuid.UUID(int=1), client=client)
assert isinstance(missing, ErrorBody) and missing.error_code == "JOB_NOT_FOUND", missing
wrong = PubmedSyncSubmission.from_dict({"tool": "pubmed.sync", "params": {"pmids": ["x"]}})
refused = submit_job.sync(client=client, body=wrong)
assert isinstance(refused, ErrorBody) and refused.error_code == "VALIDATION_ERROR", refused
assert [detail.pointer for detail in refused.details] == ["/params/pmids/0"], refused
print("done")
