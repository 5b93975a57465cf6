-- projections.advance: unless another process has moved it, or purged a record
update projections
set seq = $5, rebuilt_seq = $6, updated_at = clock_timestamp()
where name = $1 and seq = $2 and rebuilt_seq is not distinct from $3 and rules = $4 and purges = $7
