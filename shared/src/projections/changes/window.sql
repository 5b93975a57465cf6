-- projections.window: the first number that a page of at most $3 rows does not look at
select seq from changes where seq > $1 and seq <= $2 order by seq offset $3 limit 1
