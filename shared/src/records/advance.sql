-- records.advance: only the order of pointers, which are locked
update pubmed_archive a
set date_revised = i.date_revised, as_of = i.as_of, file_number = i.file_number, position = i.position,
    file_id = i.file_id, rank_file = i.rank_file, rank_position = i.rank_position,
    from_objects_at = null
from unnest($1::text[], $2::date[], $3::timestamptz[], $4::integer[], $5::bigint[], $6::text[], $7::integer[],
            $8::bigint[])
    as i (pmid, date_revised, as_of, file_number, position, file_id, rank_file, rank_position)
where a.pmid = i.pmid
