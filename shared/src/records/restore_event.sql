-- records.restore_event: unless the last event of the record is this version already, wherever the
-- archive lay then. A log that begins with this event begins at the time in microseconds, above every number of the log
-- that was lost: what is asked for since one of those is the whole archive again
with missing as (
    select 1
    where split_part($4, 'versionId=', 2) is distinct from
          (select split_part(s3_uri, 'versionId=', 2) from archive_events where pmid = $1 order by seq desc limit 1)
),
number as (
    update archive_event_counter
    set last_seq = case when last_seq = 0 then (extract(epoch from clock_timestamp()) * 1000000)::bigint
                        else last_seq + 1 end
    where exists (select from missing) returning last_seq
)
insert into archive_events (seq, pmid, record_id, outcome, content_hash, s3_uri, accepted_at, record_version)
select last_seq, $1, $1, $2, $3, $4, $5, $6 from number
