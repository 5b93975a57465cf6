# Sourced: starts a Postgres for a run of tests and exports its BIO_MCP_TEST_DATABASE_URL.

# The server is the program's private one, in a data directory that is deleted after the run: the data need not survive
# a crash of the machine, so fsync is off, and parallel tests need more connections than one user. Servers that tests
# themselves start and kill have the production settings.
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
