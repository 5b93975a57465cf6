-- checkpoints.wrong: keys whose digest is not that of their records
select coalesce(d.query_key, c.query_key)
from corpus_digests d full join corpus_counted() c using (query_key)
where (coalesce(d.documents, 0), coalesce(d.w1, 0), coalesce(d.w2, 0), coalesce(d.w3, 0), coalesce(d.w4, 0))
      is distinct from (coalesce(c.documents, 0), coalesce(c.w1, 0), coalesce(c.w2, 0), coalesce(c.w3, 0), coalesce(c.w4, 0))
