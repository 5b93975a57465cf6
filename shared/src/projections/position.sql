-- projections.position: and the number before the first event, below which the numbers are those of a lost log
select seq, rebuilt_seq, rules, purges,
       coalesce((select min(seq) - 1 from archive_events), 9223372036854775807) as before_log
from projections where name = $1
