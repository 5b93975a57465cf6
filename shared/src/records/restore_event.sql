-- records.restore_event: unless the last event of the record is this version already, wherever the
-- archive lay then
with missing as (
    select 1
    where split_part($4, 'versionId=', 2) is distinct from
          (select split_part(s3_uri, 'versionId=', 2) from archive_events where pmid = $1 order by seq desc limit 1)
),
number as (
    update archive_event_counter set last_seq = last_seq + 1 where exists (select from missing) returning last_seq
)
insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at, record_version)
select last_seq, $1, $2, $3, $4, $5, $6 from number
