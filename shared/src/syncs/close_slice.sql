-- syncs.close_slice: a unit that failed leaves its slice open
with closed as (
    delete from sync_open_slices where job_id = $1 and unit_seq = $2
)
select walk, day, last_day, field
from sync_open_slices
where job_id = $1 and unit_seq <> $2
order by unit_seq
limit 1
