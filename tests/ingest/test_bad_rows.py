"""Backfills of rows that are no JSON, and of rows that a store cannot hold."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async import CdrSession, RecordError, backfill, verify
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.testing import Gateway
from nxcdr_async.testing.emulator.spoiling import row_fault
from tests.ingest.filling import at
from tests.ingest.stored_calls import stored_calls
from tests.sessions import OpenSession
from tests.sinks.all_sinks import Places, opened

UNHELD: list[dict[str, Any]] = [
    {"callId": "".join(map(chr, range(1_000, 4_000)))},
    {"callId": "large", "new": Decimal("1e200000")},
]
"""Calls that PostgreSQL cannot hold: an id too long for an index, a number too large for its JSON."""

RANGE = at(1), at(3)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=600, days=2) as running:
        yield running


@pytest.fixture
def session(open_session: OpenSession) -> CdrSession:
    return open_session()


def add(gateway: Gateway, call: dict[str, Any], minute: int = 0) -> str:
    return gateway.add_call(startTime=at(1, 12, minute), **call)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "parquet"])
async def test_rows_that_are_no_json_are_left_out_and_gaps(
    kind: str, gateway: Gateway, session: CdrSession, places: Places
) -> None:
    gateway.switches.row_faults, gateway.switches.row_fault_rate = ["bad-utf8", "nan", "broken"], 0.05
    spoiled = {one for one in gateway.call_ids() if row_fault({"callId": one}, gateway.switches)}
    to, taken = places.fresh(kind), list[RecordError]()
    report = await backfill(session, "calls", *RANGE, to, on_bad_row="skip", bad_row_callback=taken.append)
    assert spoiled
    assert stored_calls(kind, to).keys() == set(gateway.call_ids()) - spoiled
    assert {bad.record_id for bad in taken} == spoiled
    assert sum(gap.rows or 0 for gap in report.gaps if gap.kind == "bad rows") == len(spoiled)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "parquet"])
async def test_a_row_that_is_no_json_ends_a_backfill_whose_window_is_not_called_read(
    kind: str, gateway: Gateway, session: CdrSession, places: Places
) -> None:
    gateway.switches.row_faults, gateway.switches.row_fault_rate = ["nan"], 0.02
    spoiled = [one for one in gateway.call_ids() if row_fault({"callId": one}, gateway.switches)]
    to = places.fresh(kind)
    with pytest.raises(RecordError) as bad:
        await backfill(session, "calls", *RANGE, to)
    assert bad.value.record_id in spoiled
    with opened(to) as sink:
        held = sink.inspect(CALLS)
    assert held is None or not held.entries
    gateway.switches.row_faults = []
    assert (await backfill(session, "calls", *RANGE, to)).complete_until == RANGE[1]
    assert stored_calls(kind, to).keys() == set(gateway.call_ids())


@pytest.mark.parametrize("call", UNHELD, ids=["id", "number"])
async def test_a_row_that_a_store_cannot_hold_is_left_out_and_a_gap(
    call: dict[str, Any], gateway: Gateway, session: CdrSession, places: Places
) -> None:
    unheld, to, taken = add(gateway, call), places.fresh("postgresql"), list[RecordError]()
    report = await backfill(session, "calls", *RANGE, to, on_bad_row="skip", bad_row_callback=taken.append)
    assert [bad.record_id for bad in taken] == [unheld]
    assert stored_calls("postgresql", to).keys() == set(gateway.call_ids()) - {unheld}
    assert (report.rows_new, [gap.rows for gap in report.gaps]) == (600, [1])
    assert report.complete_until == RANGE[1]


@pytest.mark.parametrize("call", UNHELD, ids=["id", "number"])
async def test_a_row_that_a_store_cannot_hold_ends_a_backfill_after_those_before_it(
    call: dict[str, Any], gateway: Gateway, session: CdrSession, places: Places
) -> None:
    unheld, to = add(gateway, call), places.fresh("postgresql")
    with pytest.raises(RecordError, match="cannot store in postgresql") as bad:
        await backfill(session, "calls", *RANGE, to)
    assert bad.value.record_id == unheld
    earlier = set(gateway.call_ids(at(1), at(1, 12))) - {unheld}
    assert earlier <= stored_calls("postgresql", to).keys() <= set(gateway.call_ids()) - {unheld}
    # What the run that failed left is read again, and told truly.
    report = await backfill(session, "calls", *RANGE, to, on_bad_row="skip")
    assert stored_calls("postgresql", to).keys() == set(gateway.call_ids()) - {unheld}
    assert [gap.rows for gap in report.gaps] == [1]


async def test_many_rows_that_a_store_cannot_hold_cost_no_other(
    gateway: Gateway, session: CdrSession, places: Places
) -> None:
    to, taken = places.fresh("postgresql"), list[RecordError]()
    unheld = {add(gateway, {"new": Decimal("1e200000")}, minute) for minute in range(0, 60, 2)}
    for _ in range(2):
        report = await backfill(session, "calls", *RANGE, to, on_bad_row="skip", bad_row_callback=taken.append)
        assert sum(gap.rows or 0 for gap in report.gaps) == len(unheld)
    assert {bad.record_id for bad in taken} == unheld
    assert stored_calls("postgresql", to).keys() == set(gateway.call_ids()) - unheld


@pytest.mark.parametrize("fix", [False, True])
async def test_a_verification_does_not_call_it_missing(
    gateway: Gateway, session: CdrSession, places: Places, *, fix: bool
) -> None:
    unheld, to = add(gateway, UNHELD[0]), places.fresh("postgresql")
    await backfill(session, "calls", *RANGE, to, on_bad_row="skip")
    for _ in range(2):
        report = await verify(session, to, sample=None, fix=fix, on_bad_row="skip")
        (calls,) = report.sources
        assert (calls.missing, calls.different, calls.extra, calls.fixed) == (0, 0, 0, 0)
        assert [gap.rows for gap in calls.gaps] == [1]
        assert not calls.examples
    assert unheld not in stored_calls("postgresql", to)


@pytest.mark.parametrize("fix", [False, True])
async def test_a_verification_tells_what_else_is_missing(
    gateway: Gateway, session: CdrSession, places: Places, *, fix: bool
) -> None:
    import psycopg  # noqa: PLC0415 - only where it is tested

    add(gateway, UNHELD[0])
    to = places.fresh("postgresql")
    await backfill(session, "calls", *RANGE, to, on_bad_row="skip")
    lost = gateway.call_ids()[:3]
    with psycopg.connect(to) as database:
        database.execute("DELETE FROM calls WHERE call_id = ANY(%s)", [lost])
    (calls,) = (await verify(session, to, sample=None, fix=fix, on_bad_row="skip")).sources
    assert (calls.missing, calls.fixed) == (3, 3 if fix else 0)
    assert (stored_calls("postgresql", to).keys() >= set(lost)) == fix
