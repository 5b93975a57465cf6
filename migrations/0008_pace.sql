-- One row per server that allows so many requests a second over all workers together.
create table upstream_pace (
    upstream text primary key,
    next_at  timestamptz not null
);

-- Gives the caller the next turn: how long it has to wait for it, in seconds, and how long the
-- statement itself waited for its place. With p_longest_wait_secs, no turn later than that is given
-- (null). One statement; the row's lock spaces everybody.
create function take_turn(p_upstream text, p_gap_secs double precision, p_longest_wait_secs double precision)
returns table (wait_secs double precision, served_secs double precision) language plpgsql as $$
declare
    v_at timestamptz;
begin
    insert into upstream_pace as p (upstream, next_at)
    values (p_upstream, clock_timestamp() + make_interval(secs => p_gap_secs))
    on conflict (upstream) do update
    set next_at = greatest(p.next_at, clock_timestamp()) + make_interval(secs => p_gap_secs)
    where p.next_at <= clock_timestamp() + make_interval(secs => p_longest_wait_secs)
    returning next_at - make_interval(secs => p_gap_secs) into v_at;
    return query select
        extract(epoch from greatest(v_at - clock_timestamp(), interval '0'))::double precision,
        extract(epoch from clock_timestamp() - statement_timestamp())::double precision
    where v_at is not null;
end $$;
