-- projections.feed: changes after $1 and up to $2, of these kinds, of records that belonged to a query already. Both
-- tables have the bounds: Postgres does not derive those of one from the other, and a merge join would read the log
-- from its start
select c.seq, c.record_type, c.record_id, c.kind, e.content_hash, e.accepted_at, c.integrity, c.details
from changes c join archive_events e on e.seq = c.seq
where c.seq > $1 and c.seq <= $2 and e.seq > $1 and e.seq <= $2 and ($3::text[] is null or c.kind = any ($3))
  and ($4::text is null or c.record_type = 'pubmed' and exists (
      select from query_members m where m.query_key = $4 and m.pmid = c.record_id and m.first_seq < c.seq))
