
order by c.seq
fetch first ($5) rows with ties
