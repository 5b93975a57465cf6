-- syncs.open_slices
insert into sync_open_slices (job_id, unit_seq, walk, day, last_day, field)
select $1, t.unit_seq, t.walk, t.day, t.last_day, t.field
from unnest($2::integer[], $3::smallint[], $4::date[], $5::date[], $6::smallint[]) as t (unit_seq, walk, day, last_day, field)
