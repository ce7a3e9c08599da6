import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from attrs import evolve
from shared.postgresql_server import PASSWORD, QUOTED_PASSWORD, USER, PostgresqlServer

from nxcdr_async import BackfillProgress, CdrSession, ConfigurationError, SinkError, backfill
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, Table
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.merge import merge
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window

ORIGIN = Origin("account", "UTC+08:00")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = Window(0, 4_000_000_000)
HOLD_AND_WAIT_TO_BE_KILLED = """
import os, signal, sys
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
PostgresqlSink(sys.argv[1]).open()
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows_of(table: Table, *values: dict[str, Any]) -> Any:
    rows = [{table.time: MOMENT, **each} for each in values]
    return table.empty().from_pylist(rows, schema=table.schema)


def change(start: int = 0) -> LedgerChange:
    return LedgerChange(LedgerEntry(Window(start, start + 10), read_at=20), (), None)


def execute(address: str, *statements: str) -> None:
    with psycopg.connect(address, autocommit=True) as keeper:
        for statement in statements:
            keeper.execute(statement)


def answer(address: str, query: str) -> Any:
    with psycopg.connect(address) as client:
        return client.execute(query).fetchone()


@pytest.fixture
def sink(postgresql_database: str) -> Iterator[PostgresqlSink]:
    opened = PostgresqlSink(postgresql_database)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def lowly(postgresql_database: str) -> Iterator[str]:
    """Give the address of the database for a user who has no rights but to connect."""
    database = postgresql_database.rpartition("/")[2]
    execute(
        postgresql_database,
        f"CREATE USER {database} PASSWORD 'lowly'",
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    )
    execute(postgresql_database, f"GRANT CONNECT ON DATABASE {database} TO {database}")
    yield postgresql_database.replace(f"{USER}:{QUOTED_PASSWORD}", f"{database}:lowly")
    execute(postgresql_database, f"DROP OWNED BY {database}", f"DROP USER {database}")


def test_columns_have_types_that_people_can_count_with(sink: PostgresqlSink, postgresql_database: str) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a", "extra": '{"further":{"key":[1,2]}}'}), change())
    query = "SELECT start_time, pg_typeof(total_customer_price)::text, extra -> 'further' #>> '{key,1}' FROM calls"
    assert answer(postgresql_database, query) == (MOMENT, "numeric", "2")


def test_keys_are_unique_where_they_are_one_row_s_only(sink: PostgresqlSink) -> None:
    kinds = "SELECT contype::text FROM pg_constraint WHERE contype <> 'n' AND conrelid = %s::regclass"
    for table, expected in ((CALLS, []), (DID_CALLS, [("u",)]), (FLASH_CALLS, [("p",)])):
        sink.create(table, ORIGIN)
        assert sink.connection.execute(kinds, [table.name]).fetchall() == expected


def test_a_schema_named_by_the_address_is_filled(postgresql_database: str) -> None:
    execute(postgresql_database, "CREATE SCHEMA archive", "CREATE TABLE public.calls (call_id text)")
    sink = PostgresqlSink(f"{postgresql_database}?options=-csearch_path%3Darchive,public")
    sink.open()
    assert sink.inspect(CALLS) is None
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
    sink.close()
    assert answer(postgresql_database, "SELECT count(*) FROM archive.calls") == (1,)
    assert answer(postgresql_database, "SELECT count(*) FROM archive.nxcdr_windows") == (1,)


def test_a_search_path_of_nothing_is_refused(postgresql_database: str) -> None:
    with pytest.raises(ConfigurationError, match="search path"):
        PostgresqlSink(f"{postgresql_database}?options=-csearch_path%3Dnowhere").open()


def test_runs_in_two_schemas_do_not_keep_each_other_out(sink: PostgresqlSink, postgresql_database: str) -> None:
    execute(postgresql_database, "CREATE SCHEMA archive")
    other = PostgresqlSink(f"{postgresql_database}?options=-csearch_path%3Darchive")
    other.open()
    other.close()
    assert sink.inspect(CALLS) is None


def test_a_killed_run_lets_go(postgresql_database: str) -> None:
    subprocess.run([sys.executable, "-c", HOLD_AND_WAIT_TO_BE_KILLED, postgresql_database], check=False)
    sink = PostgresqlSink(postgresql_database)
    sink.open()
    sink.close()


def test_a_failed_write_leaves_nothing(sink: PostgresqlSink, postgresql_database: str) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
    with pytest.raises(SinkError, match="duplicate key"):
        sink.write(CALLS, rows_of(CALLS, {"call_id": "b"}), change())
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (1,)
    sink.write(CALLS, rows_of(CALLS, {"call_id": "b"}), change(10))
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (2,)


@pytest.mark.parametrize("is_looked_for", [True, False])
def test_rows_are_stored_alike_whether_they_were_looked_for_or_not(
    sink: PostgresqlSink, *, is_looked_for: bool
) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a", "caller": "1"}), change())
    rows = rows_of(CALLS, {"call_id": "a", "caller": "2"}, {"call_id": "b", "caller": "3"})
    if is_looked_for:
        assert sink.find(CALLS, rows).num_rows == 1
    sink.write(CALLS, rows, change(10))
    assert sink.scan(CALLS, WHOLE).sort_by("call_id") == rows


def test_a_row_that_somebody_else_stored_meanwhile_is_told_and_then_taken(
    sink: PostgresqlSink, postgresql_database: str
) -> None:
    sink.create(DID_CALLS, ORIGIN)
    rows = rows_of(DID_CALLS, {"id": 1, "number": "1"})
    sink.find(DID_CALLS, rows)
    execute(postgresql_database, "INSERT INTO did_calls (id) VALUES (1)")
    with pytest.raises(SinkError, match="duplicate key"):
        sink.write(DID_CALLS, rows, change())
    sink.write(DID_CALLS, rows, change())
    assert sink.scan(DID_CALLS, WHOLE) == rows


def test_a_call_that_somebody_else_stored_meanwhile_is_there_once(
    sink: PostgresqlSink, postgresql_database: str
) -> None:
    sink.create(CALLS, ORIGIN)
    rows = rows_of(CALLS, {"call_id": "a", "caller": "1"})
    sink.find(CALLS, rows)
    execute(postgresql_database, "INSERT INTO calls (call_id) VALUES ('a')")
    sink.write(CALLS, rows, change())
    assert sink.scan(CALLS, WHOLE) == rows


def test_what_the_server_spells_otherwise_is_no_change(sink: PostgresqlSink) -> None:
    odd = {"number": "a\x00b", "extra": '{"zz":"\\u0000","a":{"long":1e-9,"b":2}}'}
    sink.create(DID_CALLS, ORIGIN)
    rows = rows_of(DID_CALLS, {"id": 1, **odd}, odd, odd)
    sink.write(DID_CALLS, merge(DID_CALLS, sink.find(DID_CALLS, rows), rows).rows, change())
    again = merge(DID_CALLS, sink.find(DID_CALLS, rows), rows)
    assert (again.new, again.changed, again.unchanged) == (0, 0, 3)
    assert sink.scan(DID_CALLS, WHOLE)["number"].to_pylist() == ["a\ufffdb"] * 3


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE calls DROP COLUMN caller", "caller is missing there"),
        ("ALTER TABLE calls ADD note text", "note is text there"),
        ("ALTER TABLE calls ALTER total_customer_price TYPE double precision", "is double precision there"),
        ("ALTER TABLE calls ALTER start_time TYPE timestamp", "is timestamp without time zone there"),
        ("ALTER TABLE calls RENAME TO kept; CREATE VIEW calls AS SELECT * FROM kept", "is text of no table there"),
    ],
)
def test_a_table_that_was_changed_is_refused(sink: PostgresqlSink, statement: str, told: str) -> None:
    sink.create(CALLS, ORIGIN)
    sink.connection.execute(statement)
    with pytest.raises(ConfigurationError, match=told):
        sink.inspect(CALLS)


def test_a_table_whose_keys_need_not_be_unique_any_more_is_refused(sink: PostgresqlSink) -> None:
    sink.create(FLASH_CALLS, ORIGIN)
    sink.connection.execute("ALTER TABLE flash_calls DROP CONSTRAINT flash_calls_pkey")
    with pytest.raises(ConfigurationError, match="id is bigint there and bigint unique here"):
        sink.inspect(FLASH_CALLS)


def test_values_that_no_backfill_stored_are_told(sink: PostgresqlSink) -> None:
    sink.create(CALLS, ORIGIN)
    sink.connection.execute("INSERT INTO calls (call_id, total_customer_price) VALUES ('a', 'NaN')")
    with pytest.raises(SinkError, match="holds what no backfill stored"):
        sink.find(CALLS, rows_of(CALLS, {"call_id": "a"}))


def test_missing_rights_are_told_with_those_to_grant(lowly: str) -> None:
    with pytest.raises(ConfigurationError, match=r"permission denied for schema public; grant the user CREATE"):
        PostgresqlSink(lowly).open()


def test_tables_that_somebody_else_made_are_filled_with_no_more_rights_than_that_takes(
    lowly: str, postgresql_database: str
) -> None:
    maker = PostgresqlSink(postgresql_database)
    maker.open()
    maker.create(CALLS, ORIGIN)
    maker.close()
    user = lowly.rpartition("/")[2]
    execute(
        postgresql_database,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
        f"GRANT TEMPORARY ON DATABASE {user} TO {user}",
    )
    sink = PostgresqlSink(lowly)
    sink.open()
    sink.create(CALLS, evolve(ORIGIN, account="another"))
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
    assert sink.scan(CALLS, WHOLE).num_rows == 1
    sink.close()


def test_a_ledger_of_an_earlier_version_that_its_user_may_not_change_is_told(
    lowly: str, postgresql_database: str
) -> None:
    maker = PostgresqlSink(postgresql_database)
    maker.open()
    maker.create(CALLS, ORIGIN)
    maker.close()
    user = lowly.rpartition("/")[2]
    execute(
        postgresql_database,
        "ALTER TABLE nxcdr_windows DROP COLUMN stored",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
    )
    sink = PostgresqlSink(lowly)
    sink.open()
    held = sink.inspect(CALLS)
    assert held is not None
    assert not held.is_current
    with pytest.raises(
        ConfigurationError, match=r'have its owner run ALTER TABLE "public"\."nxcdr_windows" ADD COLUMN stored bigint'
    ):
        sink.create(CALLS, ORIGIN)
    sink.close()


def test_a_database_that_is_read_only_is_refused(postgresql_database: str) -> None:
    with pytest.raises(ConfigurationError, match="its transactions are read-only"):
        PostgresqlSink(f"{postgresql_database}?options=-cdefault_transaction_read_only%3Don").open()


def test_a_table_that_somebody_keeps_locked_is_not_waited_for_without_end(
    sink: PostgresqlSink, postgresql_database: str
) -> None:
    sink.create(CALLS, ORIGIN)
    sink.connection.execute("SET lock_timeout = '100ms'")
    with psycopg.connect(postgresql_database) as other:
        other.execute("LOCK TABLE calls")
        with pytest.raises(SinkError, match="lock timeout"):
            sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())


def test_a_lost_connection_is_told_and_closing_does_no_harm(
    sink: PostgresqlSink, postgresql: PostgresqlServer, postgresql_database: str
) -> None:
    sink.create(CALLS, ORIGIN)
    postgresql.restart()
    for _ in range(2):
        with pytest.raises(SinkError, match=r"lost the connection to .* goes on from there") as lost:
            sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
        assert QUOTED_PASSWORD not in str(lost.value)
    sink.close()
    sink.open()
    sink.write(CALLS, rows_of(CALLS, {"call_id": "a"}), change())
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (1,)


def test_no_message_and_no_repr_tells_the_password(sink: PostgresqlSink) -> None:
    for shown in (sink.name, repr(sink)):
        assert PASSWORD not in shown
        assert QUOTED_PASSWORD not in shown


async def test_a_server_restarted_between_windows_costs_nothing(
    postgresql: PostgresqlServer, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 200)
    restarts: list[BackfillProgress] = []

    def restart_once(progress: BackfillProgress) -> None:
        if progress.windows and not restarts:
            restarts.append(progress)
            postgresql.restart()

    with Gateway(calls=6_000, days=2) as gateway:
        start, end = gateway.first_call, gateway.last_call + timedelta(days=3)
        async with CdrSession(
            gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app
        ) as session:
            report = await backfill(session, "calls", start, end, postgresql_database, restart_once)
    assert len(restarts) == 1
    assert report.rows_new == 6_000
    assert answer(postgresql_database, "SELECT count(*), count(DISTINCT call_id) FROM calls") == (6_000, 6_000)
    assert answer(postgresql_database, "SELECT sum(row_count), sum(stored) FROM nxcdr_windows") == (6_000, 6_000)
