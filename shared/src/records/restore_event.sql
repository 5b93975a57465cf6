-- records.restore_event
with missing as (
    select 1 where not exists (select from archive_events where pmid = $1 and s3_uri = $4)
),
number as (
    update archive_event_counter set last_seq = last_seq + 1 where exists (select from missing) returning last_seq
)
insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at)
select last_seq, $1, $2, $3, $4, $5 from number
