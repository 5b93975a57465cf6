-- checkpoints.states_of
select t.pmid, e.outcome, e.content_hash, e.s3_uri, e.seq
from unnest($2::text[]) with ordinality as t (pmid, n)
cross join lateral (
    select outcome, content_hash, s3_uri, seq
    from archive_events where pmid = t.pmid and seq <= $1 order by seq desc limit 1
) as e
order by t.n
