-- checkpoints.changes: only what the log says between the two can differ
with candidates as (
    select pmid from archive_events
    where seq > least($1, $3) and seq <= greatest($1, $3) and record_type = 'pubmed'
    union
    select pmid from query_members
    where query_key = any ($2) and first_seq > least($1, $3) and first_seq <= greatest($1, $3)
),
