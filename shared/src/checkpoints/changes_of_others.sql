-- checkpoints.changes: everything that either may hold
with candidates as (
    select pmid from query_members
    where query_key = any ($2) and first_seq <= $1 or query_key = any ($4) and first_seq <= $3
    union
    select pmid from pubmed_archive where cardinality($2::text[]) = 0 or cardinality($4::text[]) = 0
),
