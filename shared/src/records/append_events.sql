-- records.append_events: changes of one record, in order
with number as (
    update archive_event_counter set last_seq = last_seq + cardinality($3::text[])
    returning last_seq - cardinality($3::text[]) as before, clock_timestamp() as at
)
insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at, record_version)
select n.before + t.n, $1, case when t.content_hash is null then 'deleted' else 'archived' end, t.content_hash,
       t.s3_uri, n.at, t.version
from unnest($2::text[], $3::text[], $4::integer[]) with ordinality as t (content_hash, s3_uri, version, n)
cross join number n
