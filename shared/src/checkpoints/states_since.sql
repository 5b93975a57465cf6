-- checkpoints.states_since: the last event of each record up to $2, of those after $1
select e.pmid, e.outcome, e.content_hash, e.s3_uri, e.seq
from archive_events e
where e.seq > $1 and e.seq <= $2 and e.record_type = 'pubmed'
  and not exists (select from archive_events l where l.pmid = e.pmid and l.seq > e.seq and l.seq <= $2)
order by e.seq
limit $3
