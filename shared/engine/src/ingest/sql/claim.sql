-- ingest.claim: alone in its statement. It may wait for its turn, and what is joined to it would be
-- read as of before that: a job submitted meanwhile would be claimed and not seen
select id from claim_work_unit($1, $2, $3, 1, $4, $5, $6, $7, $8)
