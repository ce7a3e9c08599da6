"""Triggers and rules of somebody else in a PostgreSQL database: what they keep from us is told, and nothing claimed."""

import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.records.arrow import CALLS, DID_CALLS, Table
from tests.sinks.postgresql.calls import ORIGIN, SECOND, WHOLE, answer, execute, keyed_rows, opened, put

DO_NOTHING = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
KEEPS = "a trigger or rule of {} in .* keeps 1 row from being {}: drop it"


@pytest.mark.parametrize("table", [CALLS, DID_CALLS])
def test_rows_that_a_trigger_keeps_out_are_no_rows_that_were_stored(table: Table, postgresql_database: str) -> None:
    with opened(postgresql_database) as sink:
        sink.create(table, ORIGIN)
        execute(
            postgresql_database,
            DO_NOTHING,
            f"CREATE TRIGGER out BEFORE INSERT ON {table.name} FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        with pytest.raises(ConfigurationError, match=KEEPS.format(table.name, "stored")):
            put(sink, table, keyed_rows(table, 1))
        held = sink.inspect(table)
        assert held is not None
        assert not held.entries


@pytest.mark.parametrize("stays", ["trigger", "rule"])
def test_a_row_that_cannot_be_removed_is_not_stored_twice(stays: str, postgresql_database: str) -> None:
    by_trigger = "CREATE TRIGGER stay BEFORE DELETE ON calls FOR EACH ROW EXECUTE FUNCTION nothing()"
    by_rule = "CREATE RULE stay AS ON DELETE TO calls DO INSTEAD NOTHING"
    with opened(postgresql_database) as sink:
        sink.create(CALLS, ORIGIN)
        put(sink, CALLS, keyed_rows(CALLS, 1))
        execute(postgresql_database, DO_NOTHING, by_trigger if stays == "trigger" else by_rule)
        changed = keyed_rows(CALLS, 1).drop_columns("caller").append_column("caller", [["another"]])
        with pytest.raises(ConfigurationError, match=KEEPS.format("calls", "replaced")):
            put(sink, CALLS, changed.select(CALLS.columns))
        with pytest.raises(ConfigurationError, match=KEEPS.format("calls", "removed")):
            sink.prune(CALLS, SECOND + 10, is_trial=False)
        held = sink.inspect(CALLS)
        assert held is not None
        assert held.pruned_before is None
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (1,)


def test_a_trigger_may_put_rows_into_tables_that_inherit(postgresql_database: str) -> None:
    route = "CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS "
    route += "$$ BEGIN INSERT INTO calls_of_a_day VALUES (NEW.*); RETURN NULL; END $$"
    with opened(postgresql_database) as sink:
        sink.create(CALLS, ORIGIN)
        execute(
            postgresql_database,
            "CREATE TABLE calls_of_a_day () INHERITS (calls)",
            route,
            "CREATE TRIGGER route BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION route()",
        )
        assert put(sink, CALLS, keyed_rows(CALLS, 1, 2)) == (2, 0, 0)
        assert put(sink, CALLS, keyed_rows(CALLS, 1, 2, 3), SECOND + 10) == (1, 0, 2)
        assert sink.scan(CALLS, WHOLE).num_rows == 3
    assert answer(postgresql_database, "SELECT count(*) FROM calls_of_a_day") == (3,)
