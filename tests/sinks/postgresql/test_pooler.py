import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from shared.postgresql_server import PASSWORD, USER, PostgresqlServer

from nxcdr_async import ConfigurationError
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from tests.sinks.postgresql.calls import CALLS, answer, go_round
from tests.sinks.postgresql.proxies import TransactionPooler, listening

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
NEEDS_PGBOUNCER = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
TOLD = "is a pooler that may give each transaction another connection, .* or of a pool with pool_mode = session"
SECONDS_TO_START = 30.0


@contextmanager
def pgbouncer(server: PostgresqlServer, database: str, folder: Path, settings: str) -> Iterator[str]:
    """Run a PgBouncer before a database; give the address by which it is reached."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder.chmod(0o755)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={server.port} user={USER} password='{PASSWORD}'\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n{settings}\n",
        encoding="utf-8",
    )
    assert PGBOUNCER is not None
    # It refuses to be root, and reads its configuration before it ceases to be.
    process = subprocess.Popen([PGBOUNCER, "-q", "-u", "nobody", configuration], stderr=subprocess.DEVNULL)
    address = f"postgresql://{USER}@127.0.0.1:{port}/{database}"
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()


# One with a single connection that tells its number cannot be told from a server, and is as good as one.
@pytest.mark.first_of
@pytest.mark.parametrize(("size", "tells_number"), [(1, False), (2, False), (5, False), (2, True), (5, True)])
def test_a_pooler_of_transactions_is_told_and_no_other_run(
    postgresql_database: str, size: int, *, tells_number: bool
) -> None:
    pooler = TransactionPooler(postgresql_database, size, tells_number=tells_number)
    database = postgresql_database.rpartition("/")[2]
    try:
        with listening(pooler.serve) as port:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=TOLD) as refused:
                    PostgresqlSink(f"postgresql://{USER}@127.0.0.1:{port}/{database}").open()
                assert type(refused.value) is ConfigurationError
    finally:
        pooler.close()


@NEEDS_PGBOUNCER
@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("settings", ["default_pool_size = 1", "default_pool_size = 3\nserver_round_robin = 1"])
def test_pgbouncer_is_told_where_it_shares_connections(
    postgresql: PostgresqlServer, postgresql_database: str, tmp_path: Path, mode: str, settings: str
) -> None:
    database = postgresql_database.rpartition("/")[2]
    with pgbouncer(postgresql, database, tmp_path, f"pool_mode = {mode}\n{settings}") as address:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=TOLD):
                PostgresqlSink(address).open()
        # Nothing of ours is left behind in the connections of others.
        with psycopg.connect(address, autocommit=True) as client:
            assert client.execute("SHOW TimeZone").fetchone() != ("UTC",)
    assert answer(postgresql_database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == (0,)


@NEEDS_PGBOUNCER
@pytest.mark.parametrize("size", [1, 2])
def test_pgbouncer_is_fine_where_each_session_has_a_connection(
    postgresql: PostgresqlServer, postgresql_database: str, tmp_path: Path, size: int
) -> None:
    database = postgresql_database.rpartition("/")[2]
    with pgbouncer(postgresql, database, tmp_path, f"pool_mode = session\ndefault_pool_size = {size}") as address:
        go_round(address, CALLS)
