-- ingest.forgotten: jobs that have succeeded, or this one of them, without what follows having been submitted
select id
from jobs j
where state = 'succeeded' and chain is not null and ($1::uuid is null or id = $1)
  and not exists (select from jobs n where n.chain_id = j.chain_id and n.chain_step = j.chain_step + 1)
limit 100
