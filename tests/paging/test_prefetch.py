"""The prefetcher, with a pager whose requests are answered by hand: what is next, how much is at once and in memory."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import define, field

from nxcdr_async import ServerError, TransportError
from nxcdr_async.paging.base import Outcome, ReadResult, Split
from nxcdr_async.paging.places import FEWEST_WINDOWS, MOST_CALLS_IN_MEMORY, Answers, Places, WindowPlaces
from nxcdr_async.paging.prefetch import LARGEST_BATCH, Prefetcher
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.responses import Row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

SECONDS = 100


@define(eq=False)
class Line:
    """A source of windows that are read by hand: each has some requests, all at once, and some guesses."""

    windows: int = 10
    steps: int = 1
    guesses: int = 0
    calls: int = 1
    results: dict[int, Outcome] = field(factory=dict)
    opened: list[Window] = field(factory=list)
    places: list["weakref.ref[WindowPlaces]"] = field(factory=list)
    under_way: list[tuple[int, str, "asyncio.Future[None]"]] = field(factory=list)
    most: int = 0
    cut: int = 0

    def next(self) -> Window | None:
        if self.cut == self.windows:
            return None
        self.cut += 1
        return Window((self.cut - 1) * SECONDS, self.cut * SECONDS)

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        number = window.start // SECONDS
        calls = [
            Row(window.start * 1000.0 + 10 * each, f"{number}-{each}", (number, each)) for each in range(self.calls)
        ]
        result = self.results.get(number, ReadResult(calls))
        self.opened.append(window)
        self.places.append(weakref.ref(places))
        answers: Answers[str] = places.answers()
        wanted, done = ["step"] * self.steps + ["guess"] * self.guesses, 0
        places.forecast = 1.0
        while done < self.steps:
            for _ in range(places.take(wanted.count("step"), wanted.count("guess"))):
                places.send(partial(self._do, number, wanted.pop(0)), 0, answers)
            await places.wait()
            for _, came in answers.came:
                if isinstance(came, Exception):
                    raise came
                done += came == "step"
            answers.came.clear()
            places.calls_read = len(calls) if done else 0
        return result

    async def _do(self, number: int, kind: str) -> str:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append((number, kind, turn))
        self.most = max(self.most, len(self.under_way))
        await turn
        return kind

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
        prefetcher: Prefetcher[Any] = Prefetcher(line, Sequencer(), concurrency=count, stats=PaginatorStats())
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


async def test_a_window_that_is_open_waits_too_when_many_calls_are_held(running: Any) -> None:
    run = await running(Line(windows=9, steps=3, calls=MOST_CALLS_IN_MEMORY // 2), 4)
    await run.line.finish(1)
    assert run.line.doing == [(0, "step"), (0, "step"), (0, "step"), (1, "step")]
    await run.line.finish(0)
    assert run.line.doing == [(0, "step"), (0, "step"), (1, "step")]


async def test_a_window_gives_back_the_places_that_it_does_not_need_in_the_end() -> None:
    class Greedy(Line):
        async def read(self, window: Window, places: WindowPlaces) -> Outcome:
            async with places.one():
                self.opened.append(window)
                places.take(0, guesses=3)
                places.all_places.changed.set()
                await settle()
            assert places.given == 3
            return ReadResult([])

    async with anyio.create_task_group() as group:
        places = Places(Greedy(windows=1), lambda: 8, group)
        group.start_soon(places.hand_out)
        assert await places.next_result() is not None
        assert await places.next_result() is None
        assert places.taken == 0
        group.cancel_scope.cancel()


async def test_nothing_holds_on_to_a_window_that_was_handed_over(running: Any) -> None:
    run = await running(Line(windows=12, calls=3, guesses=1), 50)
    taking = asyncio.ensure_future(run.prefetcher.queue.get())
    gc.disable()
    try:
        await run.line.finish(0)
        assert taking.done()
        assert (0, "guess") in run.line.doing
        assert run.line.places[0]() is None
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
    before = [Row(200_500.0, "before", "before")]
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
    assert line.opened == [Window(0, 100), parts[0]]
    await line.finish(0)
    assert line.opened[-1] == parts[1]


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
    prefetcher: Prefetcher[Any] = Prefetcher(line, Sequencer(), concurrency=lambda: readers[0], stats=PaginatorStats())
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


async def test_a_request_that_somebody_else_cancels_is_an_error(running: Any) -> None:
    line = Line(windows=2)
    run = await running(line, 2)
    line.under_way.pop(0)[2].cancel()
    await settle()
    assert isinstance(run.prefetcher.error, TransportError)
    assert run.task.done()
