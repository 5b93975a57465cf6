-- ingest.release_older: of records that came whole, what came damaged before; of one file, what an earlier copy of it had
delete from quarantine q
using unnest($1::text[], $2::timestamptz[], $3::integer[]) as whole (pmid, as_of, file_number)
where q.pmid = whole.pmid
  and case
      when q.file_number > 0 and whole.file_number > 0 and q.file_number <> whole.file_number
      then q.file_number < whole.file_number
      when q.file_number = whole.file_number and q.file_number > 0
      then q.as_of < whole.as_of
      else q.as_of <= whole.as_of
      end
