-- Chains: jobs of one submission, each submitted by the transaction that ends the one before with success.

-- On a large table this takes longer than any other statement may.
set local statement_timeout = 0;

-- chain: what follows this job: {"role": that of its submission, "then": [{"tool", "params"}, …]}, in order; null where
-- nothing does. It stays as it was submitted, so that a job that did not succeed says what was not done, and a retry of
-- it goes on from there.
-- chain_id, chain_step: the id of the first job, on all jobs of the chain, and the number of the step, from 1.
alter table jobs
    add column chain jsonb,
    add column chain_id uuid,
    add column chain_step smallint,
    add constraint jobs_in_chain check ((chain_id is null) = (chain_step is null) and (chain is null or chain_id is not null))
        not valid;

-- A step is done once: a second job of it is there only when those before it failed or were cancelled.
create unique index jobs_chain_step on jobs (chain_id, chain_step)
    where chain_id is not null and state not in ('failed', 'cancelled');
create index jobs_chain on jobs (chain_id, chain_step) where chain_id is not null;

-- next_job_id: the job of the next step, written by the transaction that submits it. A job that has succeeded, is
-- followed and has none waits for it: a limit refused the step, or a program from before this schema ended the job.
-- then_cancelled: what follows is not submitted although the job succeeds: the chain was cancelled when the units of
-- the job had ended already.
-- chain_hash: SHA-256 of what follows and of the chain that a step is part of; empty for a job alone. Requests are equal
-- when this and params_hash are.
alter table jobs
    add column next_job_id uuid,
    add column then_cancelled boolean not null default false,
    add column chain_hash text not null default '';

-- Jobs whose next step is still to be submitted, for the sweep.
create index jobs_followed on jobs (completed_at)
    where state = 'succeeded' and chain is not null and next_job_id is null and not then_cancelled;

drop index jobs_same_params;
create unique index jobs_same_params on jobs (principal, tool, params_hash, chain_hash)
    where idempotency_key is null and state in ('queued', 'running');
