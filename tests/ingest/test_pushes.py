"""Calls that are pushed into the store of a backfill: none is lost, and what the ledger says stays right."""

import asyncio
import random
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nxcdr_async import (
    AuthenticationError,
    CallRecord,
    CdrSession,
    ConfigurationError,
    Credentials,
    PushedCalls,
    RecordError,
    SinkError,
    backfill,
    make_converter,
    sync,
    verify,
)
from nxcdr_async.errors import BusyError
from nxcdr_async.records.arrow import CALLS, Table
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import Ledger
from nxcdr_async.testing import Gateway
from tests.child_processes import environment_of_children, running_module
from tests.ingest.filling import at, seconds
from tests.ingest.stored_calls import known_calls, stored_calls
from tests.ingest.told_sink import WRITING, ToldSink
from tests.sessions import OpenSession
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, Places, opened
from tests.sinks.test_own_sink import MemorySink

OTHER_KEYS = Credentials("anotherKey", "another-secret-of-no-value")
PUSHED_KEYS = ["callId", "startTime", "endTime", "caller", "callee", "direction", "orderId"]
"""Some of the fields that a push has: most of a call are missing."""

to_every_store = pytest.mark.parametrize("kind", FOR_PUSHES)
unix_only = pytest.mark.skipif(sys.platform == "win32", reason="a process is killed by a signal")


def call(name: str, second: int = 0, **more: Any) -> CallRecord:
    return CallRecord(call_id=name, start_time=at(1) + timedelta(seconds=second), **more)


def pushed_of(gateway: Gateway, call_ids: Collection[str], **wrong: Any) -> list[CallRecord]:
    """Return calls of an emulator as far as pushes tell them."""
    structure, wanted = make_converter().structure, set(call_ids)
    rows = (row for row in gateway.history.calls() if row["callId"] in wanted)
    return [structure({key: row[key] for key in PUSHED_KEYS if key in row} | wrong, CallRecord) for row in rows]


def ids_of(gateway: Gateway, start: datetime, end: datetime) -> list[str]:
    first, last = 1000 * seconds(start), 1000 * seconds(end)
    return [row["callId"] for row in gateway.history.calls() if first <= row["startTime"] < last]


def ledger_of(to: str) -> Ledger:
    with opened(to) as sink:
        held = sink.inspect(CALLS)
        return Ledger([] if held is None else held.entries)


@pytest.fixture
def session(open_session: OpenSession) -> CdrSession:
    return open_session()


@pytest.fixture
def to(tmp_path: Path) -> str:
    return str(tmp_path / "calls.sqlite")


# What is stored


@to_every_store
async def test_a_pushed_call_is_stored_with_all_it_tells(kind: str, places: Places, session: CdrSession) -> None:
    to = places.fresh(kind)
    pushed = call("a", caller="牛", total_customer_price=Decimal("0.2028"), answered=True, extra={"new": [1, None]})
    await PushedCalls(session, to).store(pushed)
    (stored,) = stored_calls(kind, to).values()
    known = {name: value for name, value in stored.items() if value is not None}
    assert known == {
        "call_id": "a",
        "start_time": at(1),
        "caller": "牛",
        "total_customer_price": Decimal("0.2028"),
        "answered": True,
        "extra": {"new": [1, None]},
    }


@to_every_store
async def test_a_call_that_is_pushed_again_is_stored_once_with_all_that_was_told(
    kind: str, places: Places, session: CdrSession
) -> None:
    to = places.fresh(kind)
    pushed = PushedCalls(session, to)
    await pushed.store(call("a", caller="1", callee="2"))
    await pushed.store(call("a", caller="3", order_id="4"))
    (stored,) = stored_calls(kind, to).values()
    assert (stored["caller"], stored["callee"], stored["order_id"]) == ("3", "2", "4")


async def test_pushes_of_one_call_at_once_all_add_to_it(to: str, session: CdrSession) -> None:
    pushed = PushedCalls(session, to)
    told = [{"caller": "1"}, {"callee": "2"}, {"order_id": "3"}, {"caller": "4", "callee": "2", "order_id": "3"}]
    await asyncio.gather(*(pushed.store(call("a", **values)) for values in told))
    (stored,) = stored_calls("sqlite", to).values()
    assert (stored["caller"], stored["callee"], stored["order_id"]) == ("4", "2", "3")


@to_every_store
async def test_a_fuller_push_and_then_a_changed_one_are_put_over_what_is_stored(
    kind: str, places: Places, session: CdrSession
) -> None:
    to = places.fresh(kind)
    pushed = PushedCalls(session, to)
    await pushed.store(call("a", caller="1", total_customer_price=Decimal("0.1")))
    await pushed.store(call("a", caller="1", total_customer_price=Decimal("0.2"), end_time=at(2), answered=True))
    await pushed.store(call("a", caller="5", total_customer_price=Decimal("0.2"), end_time=at(1, 23), answered=True))
    (stored,) = stored_calls(kind, to).values()
    told = (stored["caller"], stored["total_customer_price"], stored["end_time"], stored["answered"])
    assert told == ("5", Decimal("0.2"), at(1, 23), True)


@to_every_store
@pytest.mark.parametrize(
    "older",
    [
        {"caller": "1", "callee": "3", "call_status": "ringing"},
        {"caller": "1", "callee": "3", "call_status": "ringing", "mos": Decimal(3)},
        {"caller": "1", "callee": "2"},
    ],
    ids=["poorer", "no end", "a part"],
)
async def test_an_older_push_that_comes_late_only_fills_in(
    kind: str, older: dict[str, Any], places: Places, session: CdrSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nxcdr_async")
    to = places.fresh(kind)
    newer = {"caller": "1", "callee": "2", "call_status": "ended", "end_time": at(1, 1), "order_id": "4"}
    pushed = PushedCalls(session, to)
    await pushed.store(call("a", **newer))
    await pushed.store(call("a", **older))
    (stored,) = stored_calls(kind, to).values()
    known = {name: value for name, value in stored.items() if value is not None}
    assert known == {"call_id": "a", "start_time": at(1), **older, **newer}
    assert ("1 pushed calls came late" in caplog.text) == (older["callee"] == "3")


async def test_a_fuller_push_of_a_call_that_ended_after_its_time_was_read_is_put_over_the_first(
    gateway: Gateway, session: CdrSession, to: str
) -> None:
    gateway.clock.move_to(at(1, 12))
    await backfill(session, "calls", at(1), at(1, 12), to)
    pushed, begun = PushedCalls(session, to), 12 * 3600 - 600
    await pushed.store(call("under way", begun, end_time=at(1, 13), call_status="ended"))
    await pushed.store(call("under way", begun, end_time=at(1, 13), call_status="billed", order_id="4"))
    stored = stored_calls("sqlite", to)["under way"]
    assert (stored["call_status"], stored["order_id"]) == ("billed", "4")


@to_every_store
async def test_a_thousand_pushes_at_once_are_all_there(kind: str, places: Places, session: CdrSession) -> None:
    to = places.fresh(kind)
    pushed = PushedCalls(session, to)
    await asyncio.gather(*(pushed.store(call(f"{number}", number)) for number in range(1_000)))
    assert stored_calls(kind, to).keys() == {f"{number}" for number in range(1_000)}


async def test_calls_that_come_while_others_are_written_are_written_together(to: str, session: CdrSession) -> None:
    steps: list[str] = []
    pushed = PushedCalls(session, ToldSink(sink_for(to), steps.append))
    await asyncio.gather(*(pushed.store(call(f"{number}")) for number in range(100)))
    assert steps.count(WRITING) <= 2
    assert len(stored_calls("sqlite", to)) == 100


# The sync is the truth


@to_every_store
async def test_what_the_gateway_tells_takes_the_place_of_what_was_pushed(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to, keys = places.fresh(kind), ids_of(gateway, at(1), at(2))
    gateway.clock.move_to(at(5))
    pushed = PushedCalls(session, to)
    wrong = {"caller": "wrong", "endTime": 1000 * seconds(at(1)), "neverTold": "x"}
    await asyncio.gather(*map(pushed.store, pushed_of(gateway, keys[::3], **wrong)))
    report = await backfill(session, "calls", at(1), at(2), to)
    assert report.rows_new == len(keys) - len(keys[::3])
    assert report.rows_changed == len(keys[::3])
    known = {key: values for key, values in known_calls(gateway).items() if key in set(keys)}
    for key in keys[::3]:
        # No null of the gateway's takes a value away.
        known[key]["extra"] = {**(known[key]["extra"] or {}), "neverTold": "x"}
    assert stored_calls(kind, to) == known


@pytest.mark.first_of
@to_every_store
async def test_pushes_before_between_and_after_change_nothing_of_what_is_complete(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to, settle = places.fresh(kind), timedelta(hours=6)
    pushed = PushedCalls(session, to)

    async def push(start: datetime, end: datetime) -> None:
        await asyncio.gather(*map(pushed.store, pushed_of(gateway, ids_of(gateway, start, end)[::2])))

    gateway.clock.move_to(at(1, 12))
    await push(at(1, 6), at(1, 12))
    first = await backfill(session, "calls", at(1), at(1, 12), to, settle=settle)
    before = ledger_of(to)
    await push(at(1), at(1, 3))
    await push(at(2), at(2, 12))
    assert ledger_of(to).entries == before.entries
    assert first.complete_until == ledger_until(before, settle)
    gateway.clock.move_to(at(2, 12))
    await sync(session, "calls", to, settle=settle)
    await push(at(2), at(3))
    gateway.clock.move_to(at(4))
    last = await sync(session, "calls", to, settle=settle)
    assert last.complete_until == last.end - settle
    assert not last.gaps
    assert stored_calls(kind, to) == known_calls(gateway)
    (verified,) = (await verify(session, to, sample=None, settle=settle)).sources
    assert (verified.missing, verified.different, verified.extra) == (0, 0, 0)


def ledger_until(ledger: Ledger, settle: timedelta) -> datetime | None:
    until = ledger.complete_until(int(settle.total_seconds()))
    return None if until is None else datetime.fromtimestamp(until, UTC)


async def test_a_push_that_comes_late_changes_nothing_that_the_gateway_told(
    gateway: Gateway, session: CdrSession, to: str
) -> None:
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(3), to)
    before = stored_calls("sqlite", to)
    key = next(key for key, values in before.items() if values["order_id"] is None)
    (late,) = pushed_of(gateway, [key], caller="wrong", orderId="only here")
    await PushedCalls(session, to).store(late)
    after = stored_calls("sqlite", to)
    assert after.pop(key) == {**before.pop(key), "order_id": "only here"}
    assert after == before


@to_every_store
async def test_a_push_at_another_time_of_its_call_changes_nothing_that_the_gateway_told(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(3), to)
    before = stored_calls(kind, to)
    key = max(before, key=lambda key: before[key]["start_time"])
    never_read = 1000 * seconds(at(3, 0, 30))
    (late,) = pushed_of(gateway, [key], caller="wrong", startTime=never_read)
    await PushedCalls(session, to).store(late)
    assert stored_calls(kind, to) == before


async def test_a_pushed_call_that_the_gateway_never_tells_stays_and_is_called_extra(
    gateway: Gateway, session: CdrSession, to: str
) -> None:
    gateway.clock.move_to(at(9))
    await PushedCalls(session, to).store(call("never told", 3600))
    await backfill(session, "calls", at(1), at(3), to)
    await sync(session, "calls", to)
    (verified,) = (await verify(session, to, sample=None, fix=True)).sources
    assert (verified.missing, verified.different, verified.extra) == (0, 0, 1)
    assert stored_calls("sqlite", to).keys() == {*known_calls(gateway), "never told"}


async def test_a_first_run_that_failed_binds_a_store_to_no_account(
    gateway: Gateway, open_session: OpenSession, to: str
) -> None:
    gateway.clock.move_to(at(9))
    with pytest.raises(AuthenticationError):
        await backfill(open_session(credentials=OTHER_KEYS), "calls", at(1), at(2), to)
    await PushedCalls(open_session(), to).store(call("a"))
    assert stored_calls("sqlite", to).keys() == {"a"}


async def test_a_store_that_only_has_pushed_calls_has_to_be_begun_by_a_backfill(session: CdrSession, to: str) -> None:
    await PushedCalls(session, to).store(call("a"))
    with pytest.raises(ConfigurationError, match="calls that were pushed do not count"):
        await sync(session, "calls", to)


# Whose calls they are


async def test_a_store_of_another_account_is_refused(gateway: Gateway, open_session: OpenSession, to: str) -> None:
    gateway.clock.move_to(at(9))
    await backfill(open_session(), "calls", at(1), at(2), to)
    other = open_session(credentials=OTHER_KEYS)
    with pytest.raises(ConfigurationError, match="another access key"):
        await PushedCalls(other, to).store(call("a"))
    await PushedCalls(other, to, new_key=True).store(call("a"))
    assert "a" in stored_calls("sqlite", to)


@to_every_store
async def test_a_store_with_pushed_calls_of_another_account_is_refused(
    kind: str, places: Places, gateway: Gateway, open_session: OpenSession
) -> None:
    to = places.fresh(kind)
    gateway.clock.move_to(at(9))
    await PushedCalls(open_session(credentials=OTHER_KEYS), to).store(call("a"))
    with pytest.raises(ConfigurationError, match="another access key"):
        await PushedCalls(open_session(), to).store(call("b"))
    with pytest.raises(ConfigurationError, match="another access key"):
        await backfill(open_session(), "calls", at(1), at(2), to)


def test_a_session_without_keys_for_calls_is_refused(gateway: Gateway, to: str) -> None:
    session = CdrSession(gateway=gateway.url, flash_app=gateway.flash_app)
    with pytest.raises(ConfigurationError):
        PushedCalls(session, to)


# Which stores


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FOR_PUSHES])
def test_a_folder_is_refused_at_once(kind: str, places: Places, session: CdrSession) -> None:
    with pytest.raises(ConfigurationError, match="cannot take pushed calls"):
        PushedCalls(session, places.fresh(kind))


def test_a_file_that_cannot_be_is_refused_at_once(session: CdrSession, tmp_path: Path) -> None:
    (tmp_path / "folder.sqlite").mkdir()
    for place in (tmp_path / "none" / "calls.sqlite", tmp_path / "folder.sqlite"):
        with pytest.raises(ConfigurationError, match="folder"):
            PushedCalls(session, place)


def test_a_store_in_place_of_the_session_is_refused(session: CdrSession) -> None:
    with pytest.raises(ConfigurationError, match="give the session, then the store"):
        PushedCalls("calls.sqlite", session)  # type: ignore[arg-type]


async def test_a_sink_of_ones_own_without_a_place_for_pushes_is_refused_and_else_works(session: CdrSession) -> None:
    with pytest.raises(ConfigurationError, match="the method add"):
        PushedCalls(session, MemorySink())


class MemorySinkForPushes(MemorySink):
    def add(self, table: Table, rows: pa.Table) -> None:
        kept = self.rows[table.name].filter(pc.invert(self._is_among(table, rows)))
        self.rows[table.name] = pa.concat_tables([kept, rows])


async def test_a_sink_of_ones_own_takes_pushes_once_it_has_a_place_for_them(
    gateway: Gateway, session: CdrSession
) -> None:
    sink = MemorySinkForPushes()
    gateway.clock.move_to(at(9))
    pushed = PushedCalls(session, sink)
    keys = gateway.call_ids()[:50]
    await asyncio.gather(*map(pushed.store, pushed_of(gateway, keys)))
    assert sorted(sink.rows["calls"]["call_id"].to_pylist()) == sorted(keys)
    report = await backfill(session, "calls", at(1), at(3), sink)
    assert report.rows_new == 2_000 - len(keys)


@pytest.mark.parametrize("lock_timeout", [-1, float("nan"), float("inf"), True, "5", None])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(lock_timeout: Any, session: CdrSession, to: str) -> None:
    with pytest.raises(ConfigurationError, match="lock_timeout"):
        PushedCalls(session, to, lock_timeout=lock_timeout)


# What cannot be stored


@pytest.mark.parametrize(
    "bad",
    [
        call("bad", call_duration=10**40),
        CallRecord(call_id="bad", start_time=datetime(1, 1, 1, tzinfo=UTC)),
        CallRecord(call_id="bad", start_time=datetime(9999, 12, 31, 23, tzinfo=UTC)),
    ],
    ids=["a number too large", "long ago", "far from now"],
)
@to_every_store
async def test_a_call_that_no_sink_can_hold_fails_alone(
    kind: str, bad: CallRecord, places: Places, session: CdrSession
) -> None:
    to = places.fresh(kind)
    pushed = PushedCalls(session, to)
    calls = [call("a"), bad, call("b")]
    told = await asyncio.gather(*map(pushed.store, calls), return_exceptions=True)
    assert [type(error) for error in told] == [type(None), RecordError, type(None)]
    assert stored_calls(kind, to).keys() == {"a", "b"}


@pytest.mark.parametrize(
    "bad",
    [call("bad", extra={"new": Decimal("1e400000")}), call("bad" + "".join(map(chr, range(1_000, 4_000))))],
    ids=["a number too large", "an id too long"],
)
async def test_a_call_that_postgresql_cannot_hold_fails_alone(
    bad: CallRecord, places: Places, session: CdrSession
) -> None:
    to = places.fresh("postgresql")
    calls = [*(call(f"{number}") for number in range(20)), bad, call("last")]
    told = await asyncio.gather(*map(PushedCalls(session, to).store, calls), return_exceptions=True)
    assert [type(error).__mro__[1] for error in told if error is not None] == [SinkError]
    assert stored_calls("postgresql", to).keys() == {call.call_id for call in calls} - {bad.call_id}


async def test_what_is_no_call_is_refused(session: CdrSession, to: str) -> None:
    not_a_call: Any = {"callId": "a"}
    with pytest.raises(ConfigurationError, match="CallRecord"):
        await PushedCalls(session, to).store(not_a_call)


async def test_each_call_of_a_batch_that_fails_is_told_so_and_the_next_are_stored(session: CdrSession, to: str) -> None:
    steps: list[str] = []

    def break_first(step: str) -> None:
        steps.append(step)
        if steps.count(WRITING) == 1 and step == WRITING:
            raise SinkError("the disk is full")

    pushed = PushedCalls(session, ToldSink(sink_for(to), break_first))
    told = await asyncio.gather(*(pushed.store(call(f"{number}")) for number in range(5)), return_exceptions=True)
    assert [str(error) for error in told] == ["the disk is full"] * 5
    await pushed.store(call("next"))
    assert stored_calls("sqlite", to).keys() == {"next"}


async def test_the_traceback_of_a_batch_that_fails_does_not_grow_with_each_call(session: CdrSession, to: str) -> None:
    def break_it(step: str) -> None:
        if step == WRITING:
            raise SinkError("the disk is full")

    pushed, lengths = PushedCalls(session, ToldSink(sink_for(to), break_it)), []

    async def push(number: int) -> None:
        try:
            await pushed.store(call(f"{number}"))
        except SinkError as error:
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    await asyncio.gather(*map(push, range(50)))
    assert len(lengths) == 50
    assert max(lengths) < 20


# Taking turns


async def test_a_push_waits_for_a_run_to_let_go(session: CdrSession, to: str) -> None:
    run = sink_for(to)
    await asyncio.to_thread(run.open)
    storing = asyncio.create_task(PushedCalls(session, to, lock_timeout=60).store(call("a")))
    await asyncio.to_thread(time.sleep, 0.2)
    assert not storing.done()
    await asyncio.to_thread(run.close)
    await storing
    assert stored_calls("sqlite", to).keys() == {"a"}


class OftenBusy(MemorySinkForPushes):
    tries = 0

    def open(self) -> None:
        self.tries += 1
        if self.tries <= 3:
            raise BusyError("another run has it")


async def test_a_busy_sink_is_tried_again_until_the_timeout(session: CdrSession) -> None:
    sink = OftenBusy()
    await PushedCalls(session, sink, lock_timeout=60).store(call("a"))
    assert (sink.tries, sink.rows["calls"]["call_id"].to_pylist()) == (4, ["a"])


async def test_a_busy_sink_is_tried_once_without_a_timeout(session: CdrSession) -> None:
    sink = OftenBusy()
    with pytest.raises(ConfigurationError, match="another run"):
        await PushedCalls(session, sink, lock_timeout=0).store(call("a"))
    assert sink.tries == 1


@pytest.mark.first_of
@to_every_store
async def test_a_push_is_refused_clearly_by_a_run_that_goes_on(kind: str, places: Places, session: CdrSession) -> None:
    to = places.fresh(kind)
    pushed = PushedCalls(session, to, lock_timeout=0)
    with opened(to):
        told = await asyncio.gather(*(pushed.store(call(f"{number}")) for number in range(3)), return_exceptions=True)
        assert {type(error).__mro__[1] for error in told} == {ConfigurationError}
        assert all("another run" in str(error) for error in told)
    await pushed.store(call("a"))
    assert stored_calls(kind, to).keys() == {"a"}


@pytest.mark.first_of
@to_every_store
async def test_a_sync_gets_its_turn_while_calls_are_pushed_without_end(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(2), to)
    pushed, is_over = PushedCalls(session, to, lock_timeout=60), asyncio.Event()

    async def push_on(who: int) -> int:
        number = 0
        while not is_over.is_set():
            await pushed.store(call(f"{who} {number}", number))
            number += 1
        return number

    pushing = [asyncio.create_task(push_on(who)) for who in range(3)]
    try:
        for _ in range(3):
            await sync(session, "calls", to)
    finally:
        is_over.set()
        numbers = await asyncio.gather(*pushing)
    ours = {f"{who} {number}" for who, count in enumerate(numbers) for number in range(count)}
    assert stored_calls(kind, to).keys() == known_calls(gateway).keys() | ours


async def test_a_push_that_is_cancelled_loses_no_other(session: CdrSession, to: str) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait_in_first(step: str) -> None:
        if step == WRITING and not reached.is_set():
            reached.set()
            go_on.wait()

    pushed = PushedCalls(session, ToldSink(sink_for(to), wait_in_first))
    writing = [asyncio.create_task(pushed.store(call(f"writing {number}"))) for number in range(3)]
    await asyncio.to_thread(reached.wait)
    waiting = [asyncio.create_task(pushed.store(call(f"waiting {number}"))) for number in range(4)]
    await asyncio.sleep(0)
    # Of each batch the one that writes it, or would, and another.
    cancelled = [*writing[:2], waiting[0], waiting[2]]
    for task in cancelled:
        task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    told = await asyncio.gather(*writing, *waiting, return_exceptions=True)
    assert [isinstance(error, asyncio.CancelledError) for error in told] == [
        True,
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert [error for error in told if error is None] == [None] * 3
    stored = stored_calls("sqlite", to).keys()
    assert stored == {"writing 0", "writing 1", "writing 2", "waiting 1", "waiting 3"}


async def test_a_push_that_is_cancelled_while_a_run_has_the_sink_loses_no_other(session: CdrSession, to: str) -> None:
    pushed = PushedCalls(session, to, lock_timeout=60)
    with opened(to):
        tasks = [asyncio.create_task(pushed.store(call(f"{number}"))) for number in range(3)]
        await asyncio.sleep(0.1)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
    await asyncio.gather(*tasks[1:])
    assert stored_calls("sqlite", to).keys() == {"1", "2"}


def test_it_works_in_one_event_loop_after_another(gateway: Gateway, to: str) -> None:
    pushed = PushedCalls(CdrSession(gateway=gateway.url, credentials=gateway.credentials), to)

    async def push(prefix: str) -> None:
        await asyncio.gather(*(pushed.store(call(f"{prefix}{number}")) for number in range(20)))

    async def push_and_leave() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(push("b"), 0.001)

    asyncio.run(push("a"))
    asyncio.run(push_and_leave())
    asyncio.run(push("c"))
    assert stored_calls("sqlite", to).keys() >= {f"{prefix}{number}" for prefix in "ac" for number in range(20)}


def test_several_event_loops_push_at_the_same_time(gateway: Gateway, to: str) -> None:
    pushed = PushedCalls(CdrSession(gateway=gateway.url, credentials=gateway.credentials), to, lock_timeout=60)

    async def push(prefix: str) -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*(pushed.store(call(f"{prefix}{number}")) for number in range(100)))

    with ThreadPoolExecutor() as threads:
        for ended in [threads.submit(asyncio.run, push(prefix)) for prefix in "abc"]:
            ended.result()
    assert stored_calls("sqlite", to).keys() == {f"{prefix}{number}" for prefix in "abc" for number in range(100)}


def test_a_loop_that_was_left_while_it_stored_does_not_block_the_next(gateway: Gateway, to: str) -> None:
    pushed = PushedCalls(CdrSession(gateway=gateway.url, credentials=gateway.credentials), to)
    left = asyncio.new_event_loop()
    storing = left.create_task(pushed.store(call("left")))
    left.run_until_complete(asyncio.sleep(0))
    asyncio.run(asyncio.wait_for(pushed.store(call("next")), 10))
    left.run_until_complete(storing)
    left.close()
    assert stored_calls("sqlite", to).keys() == {"left", "next"}


# Processes


def pushing_process(*arguments: object) -> "subprocess.Popen[str]":
    command = running_module("tests.ingest.push_process", *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment_of_children())


@pytest.mark.first_of
@to_every_store
def test_several_processes_push_into_one_store(kind: str, places: Places) -> None:
    to = places.fresh(kind)
    processes = [pushing_process(to, f"{name} ", 40, 5) for name in "abc"]
    told = [process.communicate()[0].split("\n")[:-1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert stored_calls(kind, to).keys() == {f"{name} {number}" for name in "abc" for number in range(40)}
    assert {len(lines) for lines in told} == {40}


@pytest.mark.slow
@unix_only
@to_every_store
async def test_calls_that_were_stored_are_there_after_a_kill_and_the_sync_goes_on(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(2), to)
    before = ledger_of(to).entries
    stored: set[str] = set()
    for number in range(3):
        process = pushing_process(to, f"{number} ", 0, 3)
        assert process.stdout is not None
        lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(5)]
        # Into the middle of what it writes next, wherever that is by now.
        await asyncio.sleep(random.uniform(0, 0.05))
        process.kill()
        rest, _ = await asyncio.to_thread(process.communicate)
        stored |= {line.removesuffix("\n") for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")}
    assert stored_calls(kind, to).keys() >= stored
    assert ledger_of(to).entries == before
    await sync(session, "calls", to)
    pushed = {key for key in stored_calls(kind, to) if re.fullmatch(r"\d+ \d+", key)}
    assert pushed >= stored
    found = {key: values for key, values in stored_calls(kind, to).items() if key not in pushed}
    assert found == known_calls(gateway)
    (verified,) = (await verify(session, to, sample=None)).sources
    assert (verified.missing, verified.different, verified.extra) == (0, 0, len(pushed))
