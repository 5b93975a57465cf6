-- checkpoints.states_since of a query: its members that changed, and live records that became members unchanged. A
-- membership has a number of its own in the log, so both have one order
select changes.pmid, changes.outcome, changes.content_hash, changes.s3_uri, changes.seq
from (
    (select e.pmid, e.outcome, e.content_hash, e.s3_uri, e.seq
     from archive_events e
     join query_members m on m.query_key = $5 and m.pmid = e.pmid and m.first_seq <= $2
     where e.seq > greatest($1, $3) and e.seq <= $2
       and not exists (select from archive_events l where l.pmid = e.pmid and l.seq > e.seq and l.seq <= $2)
     order by e.seq
     limit $6)
    union all
    (select m.pmid, e.outcome, e.content_hash, e.s3_uri, m.first_seq
     from query_members m
     cross join lateral (
         select outcome, content_hash, s3_uri, seq
         from archive_events where pmid = m.pmid and seq <= $2 order by seq desc limit 1
     ) as e
     where m.query_key = $5 and m.first_seq > $1 and m.first_seq <= $2 and (m.first_seq, m.pmid) > ($3, $4)
       and e.seq <= $1 and e.outcome = 'archived'
     order by m.first_seq, m.pmid
     limit $6)
) as changes
order by changes.seq, changes.pmid
limit $6
