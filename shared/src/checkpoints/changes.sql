compared as (
    select c.pmid, a.content_hash as old, b.content_hash as new, ah.retracted as was, bh.retracted as is_now
    from candidates c
    left join lateral (
        select outcome, content_hash from archive_events where pmid = c.pmid and seq <= $1 order by seq desc limit 1
    ) as a on a.outcome = 'archived'
        and (cardinality($2::text[]) = 0
             or exists (select from query_members m
                        where m.pmid = c.pmid and m.query_key = any ($2) and m.first_seq <= $1))
    left join lateral (
        select outcome, content_hash from archive_events where pmid = c.pmid and seq <= $3 order by seq desc limit 1
    ) as b on b.outcome = 'archived'
        and (cardinality($4::text[]) = 0
             or exists (select from query_members m
                        where m.pmid = c.pmid and m.query_key = any ($4) and m.first_seq <= $3))
    left join pubmed_archive_history ah on ah.pmid = c.pmid and ah.content_hash = a.content_hash
    left join pubmed_archive_history bh on bh.pmid = c.pmid and bh.content_hash = b.content_hash
    where a.content_hash is distinct from b.content_hash
),
named as (
    select pmid, case when old is null then 'added' when new is null then 'deleted' else 'revised' end as change from compared
    union all
    select pmid, 'retracted' from compared where new is not null and is_now and (old is null or not was)
    union all
    select pmid, 'unknown' from compared
    where new is not null and (is_now is null or (is_now and old is not null and was is null))
),
numbered as (
    select change, pmid, row_number() over (partition by change order by length(pmid), pmid) as n from named
)
select change, count(*) as total,
       coalesce(array_agg(pmid order by n) filter (where n <= $5), '{}') as pmids
from numbered
group by change
