-- records.unfinished: what intents of units that have not ended name of some records, and the job
select u.pmid, substring(i.hashes from ((u.n - 1) * 32 + 1)::integer for 32), w.job_id
from archive_intents i join ingestion_work_units w on w.id = i.unit_id
     cross join lateral unnest(i.pmids) with ordinality as u (pmid, n)
where i.pmids && $1 and u.pmid = any ($1) and w.status in ('pending', 'claimed', 'processing')
