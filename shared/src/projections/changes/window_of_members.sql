-- projections.window_of_members: the first number that a page of at most $4 members of a query does not read
select first_seq from query_members where query_key = $1 and first_seq > $2 and first_seq <= $3
order by first_seq offset $4 limit 1
