-- records.intended: what intents name of some records
select u.pmid, substring(i.hashes from ((u.n - 1) * 32 + 1)::integer for 32)
from archive_intents i cross join lateral unnest(i.pmids) with ordinality as u (pmid, n)
where i.pmids && $1 and u.pmid = any ($1)
