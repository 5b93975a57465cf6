-- records.append_events: changes of one record, in order
with number as (
    update archive_event_counter set last_seq = last_seq + cardinality($3::text[])
    returning last_seq - cardinality($3::text[]) as before, clock_timestamp() as at
)
insert into archive_events
    (seq, pmid, record_id, outcome, content_hash, s3_uri, accepted_at, record_version, integrity_rules, integrity)
select n.before + t.n, $1, $1, case when t.content_hash is null then 'deleted' else 'archived' end, t.content_hash,
       t.s3_uri, n.at, t.version, t.integrity_rules, t.integrity
from unnest($2::text[], $3::text[], $4::integer[], $5::smallint[], $6::jsonb[]) with ordinality
    as t (content_hash, s3_uri, version, integrity_rules, integrity, n)
cross join number n
