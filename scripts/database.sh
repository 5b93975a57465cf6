# Sourced: starts a Postgres for a run of tests and exports its BIO_MCP_TEST_DATABASE_URL.

# The server is the program's private one, of a data directory that goes with the run: nothing is read again after the
# machine has stopped, so nothing waits for the disk, and tests in parallel have more connections than one user needs.
# Servers that tests themselves start and kill are as users have them.
start_database() { # program, data directory
    local program=$1 data=$2
    unset BIO_MCP_DATABASE_URL
    BIO_MCP_TEST_DATABASE_URL=$("$program" --data-dir "$data" db start) || return
    export BIO_MCP_TEST_DATABASE_URL
    if "$program" --data-dir "$data" db psql >/dev/null <<'SQL'; then
alter system set fsync = off;
alter system set full_page_writes = off;
alter system set max_connections = 400;
SQL
        "$program" --data-dir "$data" db stop >/dev/null && "$program" --data-dir "$data" db start >/dev/null
    else
        echo "without psql, the tests' databases wait for the disk" >&2
    fi
}
