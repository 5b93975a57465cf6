-- projections.advance_rebuild: independent of new events, which may have moved the position meanwhile; at the position of
-- new events the rebuild ends
update projections
set rebuilt_seq = case when $3 < seq then $3 end, updated_at = clock_timestamp()
where name = $1 and rebuilt_seq = $2 and rules = $4 and purges = $5
