"""A backfill that is killed at any moment and started again has every call once, in every sink."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random, SystemRandom
from typing import Any

import anyio
import pytest
from attrs import define

from nxcdr_async import CdrSession, status, sync
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import Ledger
from nxcdr_async.testing import FaultKind, Gateway
from nxcdr_async.windows import Window
from tests.child_processes import environment_of_children, running_module
from tests.ingest.stored_calls import known_calls, stored_calls
from tests.ingest.told_sink import CLOSING, FINDING, INSPECTING, OPENING, READING, WRITING
from tests.sinks.all_sinks import KINDS, Places, opened

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, so that many can be killed")

RETRYABLE: list[FaultKind] = [
    *("429", "503", "502", "88", "99", "empty", "truncated", "close", "reset", "cut-chunked", "html", "gzip", "chunked")
]
MOMENTS = [*OPENING * 3, *INSPECTING * 2, *READING * 4, *FINDING * 3, *WRITING * 12]
"""The steps in which a run is to be killed."""

KILLED = -9
SHORTEST, LONGEST = 1e-5, dict.fromkeys(MOMENTS, 0.01) | {OPENING: 1e-3, CLOSING: 1e-3}
"""Seconds from the beginning of a step until a run is killed."""

TRIES = 5
"""Runs after which one comes to its end that nobody kills, though some may meet more faults than they bear."""

FOREVER = timedelta(days=10_000)


@define(frozen=True)
class Ended:
    """What became of a run: its steps with the sink, and its exit status."""

    steps: str
    status: int


@define(eq=False)
class Runs:
    """Runs of backfills on one sink, each in a process of its own, all with the same arguments.

    Attributes:
        child: forks them.
        arguments: for each of them.
    """

    child: "subprocess.Popen[str]"
    arguments: dict[str, Any]

    def backfill(self, kill: dict[str, Any] | None = None) -> Ended:
        """Run a backfill, to its end unless it is killed."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps({**self.arguments, "do": "backfill", "kill": kill}) + "\n")
        self.child.stdin.flush()
        return Ended(**json.loads(self.child.stdout.readline()))

    def kill_in(self, step: str, chance: Random) -> Ended:
        """Kill a run soon after it has begun a step: of those there are many of, one of the first."""
        count = chance.randint(1, 3) if step in (READING, FINDING, WRITING) else 1
        delay = SHORTEST * (LONGEST[step] / SHORTEST) ** chance.random()
        return self.backfill({"step": step, "count": count, "delay": delay})

    def to_the_end(self) -> None:
        """Run until a run is done."""
        assert any(self.backfill().status == 0 for _ in range(TRIES))


@pytest.fixture(scope="module")
def child() -> Iterator["subprocess.Popen[str]"]:
    command = running_module("tests.ingest.backfill_child")
    pipe, environment = subprocess.PIPE, environment_of_children()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()


@pytest.fixture
def chance() -> Iterator[Random]:
    """Give chance, and tell its seed if the test fails."""
    seed = 1 if "CI" in os.environ else SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure only
    return Random(seed)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=6_000, days=5) as running:
        running.clock.move_to(running.last_call + timedelta(hours=1))
        yield running


def arguments_of(gateway: Gateway, to: str, settle: timedelta) -> dict[str, Any]:
    return {
        "to": to,
        "gateway": gateway.url,
        "access_key": gateway.credentials.access_key,
        "access_secret": gateway.credentials.access_secret,
        "range": [moment.isoformat() for moment in range_of(gateway)],
        "settle": settle.total_seconds(),
    }


def range_of(gateway: Gateway) -> tuple[datetime, datetime]:
    return gateway.first_call, gateway.last_call + timedelta(seconds=1)


def whole_seconds(gateway: Gateway) -> Window:
    start, end = range_of(gateway)
    return Window(int(start.timestamp()), int(end.timestamp()))


def ledger_of(to: str) -> Ledger:
    sink = sink_for(to)
    sink.open()
    try:
        held = sink.inspect(CALLS)
        return Ledger([] if held is None else held.entries)
    finally:
        sink.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_a_backfill_killed_again_and_again_has_every_call_once_in_the_end(
    kind: str,
    places: Places,
    gateway: Gateway,
    child: "subprocess.Popen[str]",
    chance: Random,
) -> None:
    to = places.fresh(kind)
    gateway.switches.latency = (0.0, 0.004)
    gateway.switches.fault_rate, gateway.switches.faults = 0.05, RETRYABLE
    gateway.switches.order = "ascending"  # newest first, so few calls are fewer windows to be killed in
    gateway.switches.arrivals_per_page = 1
    runs = Runs(child, arguments_of(gateway, to, FOREVER))

    ended = [runs.kill_in(step, chance) for step in chance.sample(MOMENTS, len(MOMENTS))]
    killed_in = Counter(run.steps[-1:] for run in ended if run.status == KILLED)
    assert killed_in.total() >= 20, ended
    assert killed_in[WRITING] >= 4, killed_in
    assert killed_in[OPENING] + killed_in[INSPECTING] >= 2, killed_in
    closed = [runs.kill_in(CLOSING, chance) for _ in range(3)]
    assert [run.steps[-1:] for run in closed if run.status == KILLED], closed
    runs.to_the_end()
    assert not ledger_of(to).missing(whole_seconds(gateway))

    gateway.switches.arrivals_per_page = 0
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        await sync(session, "calls", to, settle=FOREVER)
        assert stored_calls(kind, to) == known_calls(gateway)
        again = await sync(session, "calls", to, settle=FOREVER)
    assert (again.rows_new, again.rows_changed) == (0, 0)
    assert again.rows == len(known_calls(gateway))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whenever_a_run_is_killed_all_calls_of_the_windows_noted_are_there(
    kind: str,
    places: Places,
    gateway: Gateway,
    child: "subprocess.Popen[str]",
    chance: Random,
) -> None:
    to = places.fresh(kind)
    runs = Runs(child, arguments_of(gateway, to, settle=timedelta(days=1)))
    noted = 0
    for _ in range(6):
        assert runs.kill_in(WRITING, chance).status == KILLED
        entries, stored = ledger_of(to).entries, stored_calls(kind, to)
        for window in (entry.window for entry in entries):
            start, end = (datetime.fromtimestamp(moment, UTC) for moment in (window.start, window.end))
            assert stored.keys() >= set(gateway.call_ids(start, end)), window
        assert len(entries) >= noted
        noted = len(entries)
    assert noted
    runs.to_the_end()
    assert stored_calls(kind, to) == known_calls(gateway)


@pytest.mark.parametrize("kind", KINDS)
def test_what_became_of_the_last_run_is_told(
    kind: str, places: Places, gateway: Gateway, child: "subprocess.Popen[str]", chance: Random
) -> None:
    to = places.fresh(kind)
    runs = Runs(child, arguments_of(gateway, to, settle=timedelta(hours=1)))
    assert runs.kill_in(WRITING, chance).status == KILLED
    with opened(to):  # waits until a server has noticed that its client is gone
        pass
    assert last_outcome(to) == "killed"
    runs.to_the_end()
    assert last_outcome(to) == "done"


def last_outcome(to: str) -> str | None:
    (source,) = anyio.run(status, to).sources
    return None if source.last_run is None else source.last_run.outcome
