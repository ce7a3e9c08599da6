"""The prefetcher, with a pager whose steps are done by hand: what is done next, how much at once, what is in memory."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field

from nxcdr_async import ServerError
from nxcdr_async.paging.base import Outcome, ReadResult, Split, Step
from nxcdr_async.paging.prefetch import FEWEST_WINDOWS, LARGEST_BATCH, MOST_CALLS_IN_MEMORY, Prefetcher
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.responses import RecordRow
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from tests.paging.model import records_of

SECONDS = 100


@define(eq=False)
class ByHand:
    """A window that has some steps, one after the other or all at once, and some guesses."""

    window: Window
    line: "Line"
    steps: int
    guesses: int
    result: Outcome
    outcome: Outcome | None = None
    done: int = 0
    given: int = 0
    guessed: int = 0
    forecast: float = 1.0

    @property
    def calls_read(self) -> int:
        return len(self.result.records) if self.done and isinstance(self.result, ReadResult) else 0

    def next_step(self) -> Step | None:
        if self.outcome is not None or self.given >= self.steps:
            return None
        self.given += 1
        return lambda: self._do("step", self.given)

    def next_speculative_step(self) -> Step | None:
        if self.outcome is not None or self.guessed >= self.guesses:
            return None
        self.guessed += 1
        return lambda: self._do("guess", self.guessed)

    async def _do(self, kind: str, _: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.line.under_way.append((self.window.start // SECONDS, kind, turn))
        self.line.most = max(self.line.most, len(self.line.under_way))
        await turn
        self.done += kind == "step"
        if self.done == self.steps:
            self.outcome = self.result


@define(eq=False)
class Line:
    """A source of windows that are read by hand."""

    windows: int = 10
    steps: int = 1
    guesses: int = 0
    calls: int = 1
    results: dict[int, Outcome] = field(factory=dict)
    readings: list[ByHand] = field(factory=list)
    under_way: list[tuple[int, str, "asyncio.Future[None]"]] = field(factory=list)
    most: int = 0
    cut: int = 0

    def next(self) -> Window | None:
        if self.cut == self.windows:
            return None
        self.cut += 1
        return Window((self.cut - 1) * SECONDS, self.cut * SECONDS)

    def open(self, window: Window) -> ByHand:
        number = window.start // SECONDS
        calls = [
            RecordRow(window.start * 1000.0 + 10 * each, f"{number}-{each}", (number, each))
            for each in range(self.calls)
        ]
        reading = ByHand(window, self, self.steps, self.guesses, self.results.get(number, ReadResult(calls)))
        self.readings.append(reading)
        return reading

    @property
    def doing(self) -> list[tuple[int, str]]:
        return [(number, kind) for number, kind, _ in self.under_way]

    async def finish(self, number: int) -> None:
        """Do the first step under way of this window."""
        place = next(place for place, one in enumerate(self.under_way) if one[0] == number)
        self.under_way.pop(place)[2].set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@define(eq=False)
class Running:
    line: Line
    prefetcher: Prefetcher[Any]
    task: "asyncio.Task[None]"

    async def records(self) -> list[Any]:
        """Finish all that is left, and return what comes."""
        found: list[Any] = []
        while True:
            taking = asyncio.ensure_future(self.prefetcher.queue.get())
            await settle()
            while not taking.done():
                await self.line.finish(self.line.under_way[0][0])
            batch = await taking
            if batch is None:
                return found
            found += batch.records


@pytest.fixture
async def running() -> Any:
    tasks = []

    async def start(line: Line, readers: int | Callable[[], int]) -> Running:
        count = readers if callable(readers) else lambda: readers
        prefetcher: Prefetcher[Any] = Prefetcher(
            line, Sequencer(), records_of, concurrency=count, stats=PaginatorStats()
        )
        tasks.append(asyncio.create_task(prefetcher.run()))
        await settle()
        return Running(line, prefetcher, tasks[-1])

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_earliest_window_comes_first_then_new_ones(running: Any) -> None:
    run = await running(Line(steps=2), 3)
    assert run.line.doing == [(0, "step"), (0, "step"), (1, "step")]
    await run.line.finish(1)
    assert run.line.doing == [(0, "step"), (0, "step"), (1, "step")]
    await run.line.finish(0)
    assert run.line.doing == [(0, "step"), (1, "step"), (2, "step")]


async def test_guesses_come_only_when_there_is_nothing_else_to_do(running: Any) -> None:
    run = await running(Line(windows=2, guesses=1), 4)
    assert run.line.doing == [(0, "step"), (1, "step"), (0, "guess"), (1, "guess")]
    run = await running(Line(windows=4, guesses=1), 4)
    assert {kind for _, kind in run.line.doing} == {"step"}


async def test_guesses_are_for_the_earliest_window(running: Any) -> None:
    run = await running(Line(windows=2, guesses=5), 4)
    assert run.line.doing == [(0, "step"), (1, "step"), (0, "guess"), (0, "guess")]


@pytest.mark.parametrize("readers", [1, 3, 8])
@pytest.mark.parametrize("steps", [1, 3])
async def test_no_more_steps_are_under_way_than_there_are_readers(running: Any, readers: int, steps: int) -> None:
    run = await running(Line(windows=30, steps=steps, guesses=2), readers)
    await run.records()
    assert run.line.most == readers
    assert run.prefetcher.is_finished


@pytest.mark.parametrize("readers", [2, 4, 9])
async def test_no_more_windows_are_held_than_can_be_read_at_once_but_for_a_few(running: Any, readers: int) -> None:
    run = await running(Line(windows=40), readers)
    for number in range(1, 40):
        if (number, "step") in run.line.doing:
            await run.line.finish(number)
    # The first window is still under way, so none is handed out.
    assert run.line.cut == max(FEWEST_WINDOWS, readers)


async def test_what_nobody_takes_holds_the_source_back(running: Any) -> None:
    run = await running(Line(windows=40, calls=3), 2)
    while run.line.under_way:
        await run.line.finish(run.line.under_way[0][0])
    # What the queue and the hands of the prefetcher hold, and as many windows as are open at once.
    assert run.line.cut <= FEWEST_WINDOWS + 4


async def test_only_the_earliest_window_is_read_on_when_many_calls_are_held(running: Any) -> None:
    run = await running(Line(windows=9, steps=2, calls=MOST_CALLS_IN_MEMORY // 2), 3)
    assert run.line.doing == [(0, "step"), (0, "step"), (1, "step")]
    await run.line.finish(1)
    assert run.line.doing == [(0, "step"), (0, "step"), (1, "step")]
    await run.line.finish(0)
    assert run.line.doing == [(0, "step"), (1, "step")]
    await run.line.finish(0)
    # The first window is handed over, so there is room again.
    assert run.line.doing == [(1, "step"), (2, "step"), (2, "step")]


async def test_nothing_holds_on_to_a_window_that_was_handed_over(running: Any) -> None:
    run = await running(Line(windows=12, calls=3), 3)
    taking = asyncio.ensure_future(run.prefetcher.queue.get())
    gc.disable()
    try:
        while not taking.done():
            await run.line.finish(0)
        assert run.line.doing
        first = weakref.ref(run.line.readings.pop(0))
        assert first() is None
    finally:
        gc.enable()


async def test_a_range_that_is_cut_anew_is_read_on_even_when_no_place_is_free(running: Any) -> None:
    places = [5]
    run = await running(Line(windows=1, guesses=4, results={0: Split([])}), lambda: places[0])
    assert run.line.doing == [(0, "step"), *[(0, "guess")] * 4]
    run.line.windows, places[0] = 3, 1
    assert await run.records() == [(1, 0), (2, 0)]


async def test_the_error_of_a_window_comes_after_the_records_before_it(running: Any) -> None:
    error = ServerError("down", code=99)
    before = [RecordRow(200_500.0, "before", "before")]
    run = await running(Line(windows=6, results={2: ReadResult(before, error)}), 3)
    assert await run.records() == [(0, 0), (1, 0), "before"]
    assert run.prefetcher.error is error
    assert error.complete_until is not None
    assert error.complete_until.timestamp() == 2 * SECONDS
    assert not run.prefetcher.is_finished


async def test_a_later_window_that_fails_first_waits_for_its_turn(running: Any) -> None:
    run = await running(Line(windows=3, results={1: ReadResult([], ServerError("down", code=99))}), 3)
    await run.line.finish(1)
    assert run.prefetcher.error is None
    assert not run.task.done()
    await run.line.finish(0)
    assert isinstance(run.prefetcher.error, ServerError)


async def test_the_parts_of_a_window_are_read_in_its_place(running: Any) -> None:
    parts = [Window(0, 50), Window(50, 100)]
    line = Line(windows=3, results={0: Split(parts)})
    await running(line, 1)
    line.results = {}
    await line.finish(0)
    assert [reading.window for reading in line.readings] == [Window(0, 100), parts[0]]
    await line.finish(0)
    assert line.readings[-1].window == parts[1]


@pytest.mark.parametrize("calls", [1, LARGEST_BATCH, LARGEST_BATCH + 1, 3 * LARGEST_BATCH])
async def test_batches_are_never_larger_than_is_said(running: Any, calls: int) -> None:
    run = await running(Line(windows=1, calls=calls), 1)
    await run.line.finish(0)
    sizes = []
    while (batch := await run.prefetcher.queue.get()) is not None:
        sizes.append(len(batch.records))
    assert sum(sizes) == calls
    assert max(sizes) == min(calls, LARGEST_BATCH)


async def test_fewer_readers_let_what_is_under_way_end_and_begin_nothing_new() -> None:
    line, readers = Line(windows=20, calls=0), [4]
    prefetcher: Prefetcher[Any] = Prefetcher(
        line, Sequencer(), records_of, concurrency=lambda: readers[0], stats=PaginatorStats()
    )
    task = asyncio.create_task(prefetcher.run())
    await settle()
    readers[0] = 1
    for number in (1, 2, 3):
        await line.finish(number)
    assert line.doing == [(0, "step")]
    readers[0] = 3
    await line.finish(0)
    assert len(line.doing) == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_step_that_fails_ends_its_window_only_when_its_turn_comes(running: Any) -> None:
    line = Line(windows=3)
    run = await running(line, 3)
    _, _, turn = line.under_way.pop(1)
    turn.set_exception(LookupError("of a step"))
    await settle()
    assert run.prefetcher.error is None
    await line.finish(0)
    assert isinstance(run.prefetcher.error, LookupError)
