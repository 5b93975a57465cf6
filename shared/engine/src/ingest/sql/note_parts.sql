-- ingest.note_parts: where the manifest parts are of units that did not complete
update ingestion_work_units u
set outcomes_ref = t.outcomes_ref
from unnest($1::uuid[], $2::text[]) as t (id, outcomes_ref)
where u.id = t.id and u.outcomes_ref is null
