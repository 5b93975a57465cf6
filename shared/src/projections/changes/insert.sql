-- projections.insert_changes
insert into changes (seq, kind, record_type, record_id, integrity, details)
select seq, kind, record_type, record_id, integrity, details
from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
    as t (seq, kind, record_type, record_id, integrity, details)
