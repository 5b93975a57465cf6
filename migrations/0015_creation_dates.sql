-- A third date that syncs walk by: when a record was created. What enters PubMed long after its publication bears
-- the date of that as its entry date, and would never be found by it.

-- It starts where the entry watermark is: what was created before that is not looked for again.
alter table sync_queries add column creation_watermark timestamptz;
update sync_queries set creation_watermark = entry_watermark;

alter table sync_watermark_moves drop constraint sync_watermark_moves_field_check;
alter table sync_watermark_moves add constraint sync_watermark_moves_field_check
    check (field in ('entry', 'modification', 'creation'));

-- Dates are walked one after the other now, no longer in turns: a walk that a limit stopped inside a window starts
-- again at its watermarks.
update sync_queries set resume = null where resume ->> 'day' is not null;

-- What NCBI counted for the whole query at the end of the last search, and when.
alter table sync_queries add column upstream_count bigint;
alter table sync_queries add column upstream_counted_at timestamptz;

-- Days of the last run whose list did not add up to its count: [{"field", "from", "to", "counted", "listed"}]. They
-- hold their watermark.
alter table sync_queries add column gaps jsonb not null default '[]';

-- The same of a run, and whether parts of it were listed more than once; set when its search ended.
alter table sync_runs add column gaps jsonb not null default '[]';
alter table sync_runs add column is_repeated boolean not null default false;

-- Quiet days are listed together: the last day of the slice that a record was found in.
alter table sync_found add column last_day date;
