-- checkpoints.now
select c.last_seq, d.documents as total_documents,
       lpad(to_hex(d.w1), 16, '0') || lpad(to_hex(d.w2), 16, '0') || lpad(to_hex(d.w3), 16, '0') || lpad(to_hex(d.w4), 16, '0')
           as digest
from archive_event_counter c cross join corpus_digests d
where d.query_key = ''
