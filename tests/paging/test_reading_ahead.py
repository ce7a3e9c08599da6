"""Windows whose pages are read ahead, answered in an order of the test's own: each answer waits until it is let go."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import anyio
import pytest
from attrs import define, field

from nxcdr_async import TransportError
from nxcdr_async.paging.base import Outcome, ReadResult, Split
from nxcdr_async.paging.places import Places, WindowPlaces
from nxcdr_async.paging.uncounted import UncountedPager
from nxcdr_async.protocol.responses import Page
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from tests.paging.model import BEGIN, prefetcher_of

WINDOW = Window(BEGIN, BEGIN + 3600)
SIZE = 2
DEEPEST = 1_000
"""Rows of an answer seen before, so that only one that ends in a full page is doubted."""

END = 0
"""Instead of the number of a page: what follows the last call that came."""


def page(*ids: int) -> Page:
    return Page([{"callId": f"{number}", "startTime": (BEGIN + number * 300) * 1000} for number in ids])


@define
class Script:
    """A window that gets its places by hand; each is for one page, asked for twice where it came empty and was due.

    Questions about a part of the window, which prove the end of an answer, wait under the number of no page.
    """

    stats: PaginatorStats = field(factory=PaginatorStats)
    waiting: list[tuple[Mapping[str, Any], "asyncio.Future[Page]"]] = field(factory=list)
    pager: UncountedPager = field(init=False)
    places: Places = field(init=False)
    width: int = 0
    is_cut: bool = False
    outcome: Outcome | None = None

    def __attrs_post_init__(self) -> None:
        pager = prefetcher_of(self.ask, WINDOW.seconds, 8, self.stats, page_size=SIZE, most_rows=1000).pager
        assert isinstance(pager, UncountedPager)
        self.pager = pager
        pager.pages.page_size.longest = SIZE
        pager.limits.deepest = DEEPEST

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            self.places = Places(self, lambda: self.width, group)
            await self.places.hand_out()

    def next(self) -> Window | None:
        window = None if self.is_cut else WINDOW
        self.is_cut = True
        return window

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        self.outcome = await self.pager.read(window, places)
        return self.outcome

    async def ask(self, parameters: Any) -> Page:
        turn: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self.waiting.append((parameters, turn))
        return await turn

    @property
    def asked(self) -> list[int]:
        whole = WINDOW.bounds
        return [
            parameters["page"] if (parameters["startTime"], parameters["endTime"]) == whole else END
            for parameters, _ in self.waiting
        ]

    async def start(self, count: int = 1) -> None:
        """Give so many places more than are taken."""
        self.width = self.places.taken + count
        self.places.changed.set()
        await settle()
        assert self.places.taken == self.width, "there is nothing to do"

    async def answer(self, number: int, answer: Page | Exception) -> None:
        """Answer the question for a page that was asked first; its place is not given again."""
        self.width = self.places.taken - 1
        place = self.asked.index(number)
        _, turn = self.waiting.pop(place)
        if isinstance(answer, Exception):
            turn.set_exception(answer)
        else:
            turn.set_result(answer)
        await settle()

    async def finish(self, answers: Callable[[Mapping[str, Any]], Page]) -> Outcome:
        """Read on, one question at a time, to the end."""
        for _ in range(50):
            if self.outcome is not None:
                break
            if not self.waiting:
                await self.start()
            await self.answer(self.asked[0], answers(self.waiting[0][0]))
        assert self.outcome is not None, "it does not end"
        return self.outcome


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def ids(outcome: Outcome | None) -> list[int]:
    assert isinstance(outcome, ReadResult)
    assert outcome.error is None
    return [int(str(call.identity)) for call in outcome.records]


def pages_of(rows: Iterable[int]) -> Callable[[Mapping[str, Any]], Page]:
    """Return what answers with the pages of these rows, as far as they lie in the range that is asked for."""
    known = page(*rows).rows

    def answer(parameters: Mapping[str, Any]) -> Page:
        start, end, number = parameters["startTime"] * 1000, parameters["endTime"] * 1000, parameters["page"]
        found = [row for row in known if start <= row["startTime"] <= end]
        return Page(found[(number - 1) * SIZE : number * SIZE])

    return answer


@pytest.fixture
async def script() -> Any:
    made = Script()
    running = asyncio.create_task(made.run())
    await settle()
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def ask_ahead(script: Script, pages: int) -> None:
    """Read page 1, and ask for those up to `pages`."""
    await script.start()
    await script.answer(1, page(1, 2))
    await script.start(pages - 1)
    assert sorted(script.asked) == list(range(2, pages + 1))


async def test_pages_that_stand_still_are_done_when_the_last_one_and_all_before_it_are_there(script: Script) -> None:
    await ask_ahead(script, 4)
    for number, rows in ((4, ()), (3, (5,)), (2, (3, 4))):
        assert script.outcome is None
        await script.answer(number, page(*rows))
    assert ids(await script.finish(pages_of([1, 2, 3, 4, 5]))) == [1, 2, 3, 4, 5]
    assert script.stats.windows == 1


async def test_a_page_behind_the_last_one_that_comes_after_the_end_changes_nothing(script: Script) -> None:
    await ask_ahead(script, 3)
    await script.answer(2, page(3))
    assert ids(script.outcome) == [1, 2, 3]
    learned = list(script.pager.planner.density.calls)
    await script.answer(3, page())
    assert ids(script.outcome) == [1, 2, 3]
    assert script.stats.windows == 1
    assert script.pager.planner.density.calls == learned


async def test_a_page_behind_the_last_one_that_fails_after_the_end_changes_nothing(script: Script) -> None:
    await ask_ahead(script, 3)
    await script.answer(2, page(3))
    assert ids(script.outcome) == [1, 2, 3]
    await script.answer(3, TransportError("down"))
    assert ids(script.outcome) == [1, 2, 3]


async def test_a_page_behind_the_last_one_that_fails_before_the_end_costs_nothing(script: Script) -> None:
    await ask_ahead(script, 3)
    await script.answer(3, TransportError("down"))
    await script.answer(2, page(3))
    assert ids(await script.finish(pages_of([1, 2, 3]))) == [1, 2, 3]


async def moved(script: Script) -> None:
    """Have a row move from page 2, read early, to page 3, read late, while page 4 is under way."""
    await ask_ahead(script, 4)
    await script.answer(2, page(3, 4))
    await script.answer(3, page(4))
    # The last page was asked for too early, so it is asked for again.
    await script.start()
    await script.answer(3, page(4))
    assert script.stats.rereads == 1


async def test_a_page_of_before_that_comes_while_a_window_is_read_again_is_none_of_it(script: Script) -> None:
    await moved(script)
    await script.start()
    await script.answer(4, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 10, 4]))) == [1, 2, 3, 10, 4]


async def test_a_page_of_before_that_fails_while_a_window_is_read_again_costs_nothing(script: Script) -> None:
    await moved(script)
    await script.start()
    await script.answer(4, TransportError("down"))
    assert ids(await script.finish(pages_of([1, 2, 3, 10, 4]))) == [1, 2, 3, 10, 4]


async def test_a_page_of_before_that_comes_before_a_window_is_begun_again_is_none_of_it(script: Script) -> None:
    await moved(script)
    await script.answer(4, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 10, 4]))) == [1, 2, 3, 10, 4]


async def test_a_page_of_before_that_comes_when_a_window_is_split_harms_nobody(script: Script) -> None:
    await moved(script)
    await script.start()
    await script.answer(1, page(1, 2))
    await script.start()
    await script.answer(2, page(1, 2))
    await script.start()
    await script.answer(END, page(2, 3))
    await script.answer(2, page(1, 2))
    await script.answer(1, page(1, 2))
    assert isinstance(script.outcome, Split)
    await script.answer(4, page())
    assert isinstance(script.outcome, Split)
    assert script.stats.splits == 1


async def given_up(script: Script) -> None:
    """Have page 3 come empty and be confirmed full, while 4 and 5 are under way."""
    await ask_ahead(script, 5)
    await script.answer(3, page())
    await script.answer(2, page(3, 4))
    await script.start(3)
    await script.answer(3, page())
    await script.answer(3, page(5, 6))
    await script.answer(END, page(4, 5))


async def test_a_page_that_was_given_up_and_comes_late_and_empty_hides_none(script: Script) -> None:
    await given_up(script)
    await script.answer(5, page())
    await script.answer(4, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 4, 5, 6, 7, 8, 9]))) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


async def test_a_page_that_was_given_up_and_is_asked_for_again_is_read_anew(script: Script) -> None:
    await given_up(script)
    await script.start()
    assert sorted(script.asked) == [4, 4, 5]
    await script.answer(4, page())  # the one that was given up
    await script.answer(5, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 4, 5, 6, 7]))) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_page_behind_those_that_go_on_which_comes_late_leaves_no_gap(script: Script) -> None:
    await given_up(script)
    await script.answer(5, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 4, 5, 6, 7]))) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_last_page_that_comes_empty_when_it_is_confirmed_is_doubted(script: Script) -> None:
    # 10 arrived and pushed 5 from page 3 to page 4; and a throttled gateway answers with nothing once.
    await ask_ahead(script, 3)
    await script.answer(3, page(5))
    await script.answer(2, page(3, 10))
    await script.start()
    await script.answer(3, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 10, 4, 5]))) == [1, 2, 3, 10, 4, 5]


async def test_an_empty_last_page_is_confirmed_twice_at_once_and_the_longer_answer_counts(script: Script) -> None:
    # Page 3 was truly empty; then 10 arrived and pushed 4 to it; and a throttled gateway answers with nothing once.
    await ask_ahead(script, 3)
    await script.answer(3, page())
    await script.answer(2, page(3, 10))
    await script.start(3)
    assert sorted(script.asked) == [END, 3, 3]
    await script.answer(3, page())
    assert ids(await script.finish(pages_of([1, 2, 3, 10, 4]))) == [1, 2, 3, 10, 4]
