-- Chains: jobs of one submission, each submitted by the transaction that ends the one before with success.

-- On a large table this takes longer than any other statement may.
set local statement_timeout = 0;
set local lock_timeout = 0;

-- chain: what follows this job: {"role": that of its submission, "then": [{"tool", "params"}, …]}, in order; null where
-- nothing does. It stays as it was submitted, so that a job that did not succeed says what was not done, and a retry of
-- it goes on from there.
-- chain_id, chain_step: the id of the first job, on all jobs of the chain, and the number of the step, from 1.
alter table jobs
    add column chain jsonb,
    add column chain_id uuid,
    add column chain_step smallint,
    add constraint jobs_in_chain check ((chain_id is null) = (chain_step is null) and (chain is null or chain_id is not null));

-- A step is done once: a second job of it is there only when those before it failed or were cancelled.
create unique index jobs_chain_step on jobs (chain_id, chain_step)
    where chain_id is not null and state not in ('failed', 'cancelled');
create index jobs_chain on jobs (chain_id, chain_step) where chain_id is not null;
-- Jobs that another one follows, for the sweep. A program from before this schema ends a job without submitting what
-- follows.
create index jobs_followed on jobs (id) where chain is not null and state = 'succeeded';
