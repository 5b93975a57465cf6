-- projections.window_of_rare: the same of kinds that few changes are of
select seq from changes where seq > $1 and seq <= $2 and kind not in ('new', 'revised') order by seq offset $3 limit 1
