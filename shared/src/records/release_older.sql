-- records.release_older: of records that came whole, what came damaged before; of one file, what an earlier copy of it had
with damaged as materialized (
    select id, record_id, (source_metadata ->> 'as_of')::timestamptz as as_of,
           coalesce((source_metadata ->> 'file_number')::integer, 0) as file_number
    from quarantine
    where record_type = 'pubmed' and record_id = any ($1)
)
delete from quarantine q
using damaged d
join unnest($1::text[], $2::timestamptz[], $3::integer[]) as whole (pmid, as_of, file_number) on d.record_id = whole.pmid
where q.id = d.id
  and case
      when d.file_number > 0 and whole.file_number > 0 and d.file_number <> whole.file_number
      then d.file_number < whole.file_number
      when d.file_number = whole.file_number and d.file_number > 0
      then d.as_of < whole.as_of
      else d.as_of <= whole.as_of
      end
