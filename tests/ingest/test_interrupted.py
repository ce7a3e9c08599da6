"""However a run is ended early, nothing is left behind, and what was stored is whole."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import pyarrow as pa
import pytest
from attrs import define, field

from nxcdr_async import BackfillReport, CdrSession, ConfigurationError, NxcdrError, RecordError, SinkError, backfill
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import Ledger
from nxcdr_async.testing import Gateway
from tests.ingest.stored_calls import known_calls, stored_calls
from tests.ingest.told_sink import CLOSED, CLOSING, FINDING, INSPECTING, OPENING, WRITING, ToldSink
from tests.sessions import OpenSession


@define(eq=False)
class Barrier:
    """Remembers the steps of a sink, and stops it at one of them until it is let go on.

    Attributes:
        step: the step.
        steps: those that were begun.
        reached: set when it has stopped.
        go_on: to be set by the test.
    """

    step: str
    steps: list[str] = field(factory=list)
    reached: Event = field(factory=Event)
    go_on: Event = field(factory=Event)

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step == self.step:
            self.reached.set()
            assert self.go_on.wait(timeout=30)


@pytest.fixture(autouse=True)
def many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few thousand calls make many windows."""
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 100)
    monkeypatch.setattr(engine, "RECORDS_AT_ONCE", 100)
    monkeypatch.setattr("nxcdr_async.sources.calls.MOST_ROWS", 100)
    monkeypatch.setattr("nxcdr_async.sources.calls.MOST_AT_ONCE", 100)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def range_of(gateway: Gateway) -> tuple[datetime, datetime]:
    return gateway.first_call, gateway.last_call + timedelta(seconds=1)


async def fill(session: CdrSession, gateway: Gateway, to: Any, **options: Any) -> BackfillReport:
    return await backfill(session, "calls", *range_of(gateway), to, **options)


def entries_of(to: Path) -> Ledger:
    sink = sink_for(to)
    sink.open()
    held = sink.inspect(CALLS)
    sink.close()
    return Ledger([] if held is None else held.entries)


async def check_goes_on(session: CdrSession, gateway: Gateway, to: Path) -> BackfillReport:
    """Check that a further run finds all that was stored whole, and reads the rest."""
    before = len(entries_of(to).entries)
    report = await fill(session, gateway, to)
    assert report.windows_before == before
    assert not report.rows_changed
    assert stored_calls("sqlite", str(to)) == known_calls(gateway)
    return report


async def some_turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def by_cancel(run: Callable[[], Awaitable[Any]], reached: Event, go_on: Event) -> None:
    task = asyncio.create_task(run())
    await asyncio.to_thread(reached.wait)
    task.cancel()
    await some_turns()
    task.cancel()
    await some_turns()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(run: Callable[[], Awaitable[Any]], reached: Event, go_on: Event) -> None:
    async def expire(limit: asyncio.Timeout) -> None:
        await asyncio.to_thread(reached.wait)
        limit.reschedule(asyncio.get_running_loop().time())
        await some_turns()
        go_on.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            expiring = asyncio.create_task(expire(limit))
            await run()
    assert expiring.done()
    await expiring


async def by_scope(run: Callable[[], Awaitable[Any]], reached: Event, go_on: Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await asyncio.to_thread(reached.wait)
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await some_turns()
        go_on.set()
    assert group.cancel_scope.cancelled_caught


@pytest.mark.first_of
@pytest.mark.parametrize("step", [OPENING, INSPECTING, FINDING, WRITING, CLOSING])
@pytest.mark.parametrize("interrupt", [by_cancel, by_timeout, by_scope])
async def test_a_run_that_is_interrupted_lets_its_sink_end_a_step_and_then_closes_it(
    interrupt: Callable[..., Awaitable[None]], step: str, gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    session, barrier = open_session(), Barrier(step)
    if step == CLOSING:
        await fill(session, gateway, to)
    sink = ToldSink(sink_for(to), barrier)

    await interrupt(lambda: fill(session, gateway, sink), barrier.reached, barrier.go_on)

    assert barrier.steps[-2:] == [CLOSING, CLOSED]
    assert barrier.steps.index(CLOSING) > barrier.steps.index(step) or step == CLOSING
    assert session.stats.in_flight == 0
    await check_goes_on(session, gateway, to)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_run_that_is_cancelled_while_it_reads_leaves_no_request(
    times: int, gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    session, steps = open_session(), []
    news = asyncio.Event()
    gateway.switches.latency = (0.01, 0.02)
    task = asyncio.create_task(
        fill(
            session,
            gateway,
            ToldSink(sink_for(to), steps.append),
            on_progress=lambda told: news.set() if told.windows else None,
        )
    )
    await news.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.stats.in_flight == 0
    assert steps[-1] == CLOSED
    assert entries_of(to).entries
    await check_goes_on(session, gateway, to)


async def test_an_error_of_on_progress_ends_the_run_as_it_is(
    gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    mine = LookupError("mine")

    def fail(progress: Any) -> None:
        if progress.windows == 3:
            raise mine

    session, steps = open_session(), []
    with pytest.raises(LookupError) as raised:
        await fill(session, gateway, ToldSink(sink_for(to), steps.append), on_progress=fail)
    assert raised.value is mine
    assert steps[-1] == CLOSED
    assert len(entries_of(to).entries) == 3
    await check_goes_on(session, gateway, to)


async def test_an_error_of_the_gateway_comes_bare_after_all_that_was_complete_is_stored(
    gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    session = open_session(concurrency=1)

    def refuse(progress: Any) -> None:
        if progress.windows == 3:
            gateway.switches.redirect_to = "http://127.0.0.1:1/"

    with pytest.raises(NxcdrError, match="redirect") as raised:
        await fill(session, gateway, to, on_progress=refuse)
    ledger = entries_of(to)
    assert raised.value.complete_until is not None
    assert ledger.entries[-1].window.end == int(raised.value.complete_until.timestamp())
    gateway.switches.redirect_to = None
    await check_goes_on(session, gateway, to)


@pytest.mark.parametrize("fault", [{"callDuration": "very long"}, {"totalCustomerPrice": "9" * 40}])
@pytest.mark.parametrize("hours", [24, 47])
async def test_a_row_that_cannot_be_read_or_stored_ends_the_run_after_what_was_complete_before_it_is_stored(
    fault: dict[str, Any],
    hours: int,
    gateway: Gateway,
    open_session: OpenSession,
    to: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 10_000)
    gateway.switches.order = "ascending"  # newest first, what is read up to is known at longer steps
    at_fault = gateway.first_call + timedelta(hours=hours)
    gateway.add_call(startTime=int(at_fault.timestamp() * 1000), **fault)
    with pytest.raises(RecordError, match=next(iter(fault))):
        await fill(open_session(), gateway, to)
    (*_, last) = entries_of(to).entries
    complete_until = datetime.fromtimestamp(last.window.end, UTC)
    assert complete_until <= at_fault
    # Not more than three windows of a hundred before it.
    assert len(gateway.call_ids(complete_until, at_fault)) <= 300
    assert stored_calls("sqlite", str(to)).keys() >= set(gateway.call_ids(None, complete_until))


class Broken:
    """Breaks a sink at a step of one of its windows, which takes it a while."""

    def __init__(self, step: str, window: int, error: Exception) -> None:
        self.step, self.window, self.error = step, window, error
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step == self.step and self.steps.count(step) == self.window:
            # So long that all is read that can be before the window is stored.
            time.sleep(0.1)
            raise self.error


@pytest.mark.first_of
@pytest.mark.parametrize("step", [FINDING, WRITING])
@pytest.mark.parametrize("error", [SinkError("full"), RuntimeError("a bug of mine")])
async def test_an_error_of_the_sink_comes_bare_and_stops_the_reading(
    step: str, error: Exception, open_session: OpenSession, to: Path
) -> None:
    with Gateway(calls=10_000, days=2) as gateway:
        gateway.switches.order = "ascending"
        session, broken = open_session(gateway=gateway.url), Broken(step, 3, error)
        with pytest.raises(type(error)) as raised:
            await fill(session, gateway, ToldSink(sink_for(to), broken))
        assert raised.value is error
        assert broken.steps[-2:] == [CLOSING, CLOSED]
        assert session.stats.in_flight == 0
        assert session.stats.requests < 80
        assert len(entries_of(to).entries) == 2
        await check_goes_on(session, gateway, to)


async def test_an_error_of_the_sink_comes_bare_whatever_is_left_to_read(
    open_session: OpenSession, tmp_path: Path
) -> None:
    error, came = SinkError("full"), list[SinkError]()
    with Gateway(calls=500) as gateway:
        gateway.switches.order = "ascending"  # several windows of so few calls
        session = open_session(gateway=gateway.url)
        for window in range(1, 20):
            sink = ToldSink(sink_for(tmp_path / f"{window}.sqlite"), Broken(WRITING, window, error))
            try:
                await fill(session, gateway, sink)
            except SinkError as raised:
                came.append(raised)
            else:
                break
    assert len(came) >= 3
    assert all(one is error for one in came)


async def test_a_session_closed_under_a_run_ends_it_clearly(
    gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    session, news = open_session(), asyncio.Event()
    gateway.switches.latency = (0.01, 0.02)
    task = asyncio.create_task(fill(session, gateway, to, on_progress=lambda _: news.set()))
    await news.wait()
    await session.aclose()
    with pytest.raises(NxcdrError, match="closed"):
        await task
    await check_goes_on(open_session(), gateway, to)


async def test_a_second_run_on_a_sink_is_refused_and_harms_nobody(
    gateway: Gateway, open_session: OpenSession, to: Path
) -> None:
    session, barrier = open_session(), Barrier(WRITING)
    first = asyncio.create_task(fill(session, gateway, ToldSink(sink_for(to), barrier)))
    await asyncio.to_thread(barrier.reached.wait)
    with pytest.raises(ConfigurationError, match="another run"):
        await fill(session, gateway, to)
    barrier.go_on.set()
    assert (await first).rows_new == 2_000
    assert stored_calls("sqlite", str(to)) == known_calls(gateway)


@pytest.fixture
def other_process() -> Iterator["subprocess.Popen[str]"]:
    """Give a process that takes hold of a sink and says whether it could."""
    code = """
import sys
from nxcdr_async.sinks.factory import sink_for
for to in sys.stdin:
    try:
        sink_for(to.strip()).open()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("taken", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        yield one
        assert one.stdin is not None
        one.stdin.close()


def ask(process: "subprocess.Popen[str]", to: Path) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{to}\n")
    process.stdin.flush()
    return process.stdout.readline()


async def test_a_second_process_on_a_sink_is_refused(
    gateway: Gateway, open_session: OpenSession, to: Path, other_process: "subprocess.Popen[str]"
) -> None:
    session, barrier = open_session(), Barrier(WRITING)
    first = asyncio.create_task(fill(session, gateway, ToldSink(sink_for(to), barrier)))
    await asyncio.to_thread(barrier.reached.wait)
    assert "another run" in await asyncio.to_thread(ask, other_process, to)
    barrier.go_on.set()
    await first
    assert await asyncio.to_thread(ask, other_process, to) == "taken\n"


async def test_two_runs_at_once_leave_arrow_as_it_was(
    open_session: Callable[..., CdrSession], gateway: Gateway, tmp_path: Path
) -> None:
    before = pa.default_memory_pool().backend_name
    session = open_session()
    end = gateway.last_call + timedelta(seconds=1)
    half = gateway.first_call + (end - gateway.first_call) / 20
    await asyncio.gather(
        backfill(session, "calls", gateway.first_call, half, tmp_path / "a.sqlite"),
        backfill(session, "calls", gateway.first_call, end, tmp_path / "b.sqlite"),
    )
    assert pa.default_memory_pool().backend_name == before


async def test_two_sinks_are_filled_at_once_by_one_session(
    gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    session, places = open_session(), [tmp_path / "one.sqlite", tmp_path / "two.sqlite"]
    reports = await asyncio.gather(*(fill(session, gateway, to) for to in places))
    assert [report.rows_new for report in reports] == [2_000, 2_000]
    for to in places:
        assert stored_calls("sqlite", str(to)) == known_calls(gateway)
