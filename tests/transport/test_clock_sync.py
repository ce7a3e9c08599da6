"""The gate before a signature: who measures, who waits, and that nobody waits for ever."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from attrs import define, field

from nxcdr_async import TimedOutError, TransportError
from nxcdr_async.transport.clock_skew import LONGEST_UNHEARD, Moment
from nxcdr_async.transport.clock_sync import LONGEST_SILENCE, ClockSync

Ending = Callable[[], None]


@define(eq=False)
class Crossing:
    """A gate, and requests that end only when a test says so."""

    gate: ClockSync = field(factory=ClockSync)
    steady: float = 0.0
    asleep: float = 0.0
    sent: dict[int, asyncio.Future[Ending]] = field(factory=dict)
    tasks: list[asyncio.Task[None]] = field(factory=list)

    def now(self) -> Moment:
        return Moment(self.steady, self.steady + self.asleep)

    async def _cross(self, number: int) -> None:
        async with self.gate.ready_to_sign(self.now):
            self.sent[number] = asyncio.get_running_loop().create_future()
            (await self.sent[number])()

    async def start(self, *numbers: int) -> None:
        self.tasks += [asyncio.create_task(self._cross(number)) for number in numbers]
        await settle()

    async def end(self, number: int, ending: Ending) -> None:
        self.sent.pop(number).set_result(ending)
        await settle()

    def answered(self) -> None:
        self.gate.learn(self.now(), has_time=True)

    def answered_in_doubt(self) -> None:
        self.gate.learn(self.now(), has_time=True, is_settled=False)

    def answered_without_date(self) -> None:
        self.gate.learn(self.now(), has_time=False)

    @property
    def under_way(self) -> set[int]:
        return set(self.sent)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def broken() -> None:
    raise TransportError("reset")


def timed_out() -> None:
    raise TimedOutError("silence")


async def leave(crossing: Crossing) -> None:
    for task in crossing.tasks:
        task.cancel()
    await asyncio.gather(*crossing.tasks, return_exceptions=True)


class QuickSelector(selectors.SelectSelector):
    """Waits for nothing: where a loop would wait, time goes on at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for somebody else"
        self.now += max(0.0, timeout)
        return []


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    """Run in a loop whose time is that of its sleepers."""
    selector = QuickSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()


async def test_one_request_measures_and_then_all_go() -> None:
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    assert crossing.under_way == {1}
    await crossing.end(1, crossing.answered)
    assert crossing.under_way == {2, 3}
    await crossing.start(4)
    assert crossing.under_way == {2, 3, 4}
    await leave(crossing)


async def test_a_reply_opens_the_gate_even_before_the_request_ends() -> None:
    crossing = Crossing()
    await crossing.start(1)
    crossing.answered()
    await crossing.start(2)
    assert crossing.under_way == {1, 2}
    await leave(crossing)


@pytest.mark.parametrize("ending", ["broken", "cancelled"])
async def test_a_request_that_ends_without_a_reply_leaves_the_measuring_to_the_next(ending: str) -> None:
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    if ending == "broken":
        await crossing.end(1, broken)
    else:
        crossing.tasks[0].cancel()
        await settle()
    assert crossing.under_way - {1} == {2}
    await leave(crossing)


async def test_one_that_is_cancelled_while_it_waits_is_missed_by_nobody() -> None:
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    crossing.tasks[1].cancel()
    await crossing.end(1, broken)
    assert crossing.under_way == {3}
    await leave(crossing)


async def one_hangs() -> Crossing:
    """Return a gate at which nobody waits any more for the first request, which is still under way."""
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    await asyncio.sleep(LONGEST_SILENCE - 0.1)
    assert crossing.under_way == {1}
    await asyncio.sleep(0.2)
    assert crossing.under_way == {1, 2, 3}
    return crossing


def test_nobody_waits_long_for_a_measuring_request_that_hangs() -> None:
    async def cross() -> None:
        crossing = await one_hangs()
        await crossing.start(4)
        assert 4 in crossing.under_way
        await leave(crossing)

    in_virtual_time(cross())


def test_nobody_waits_longer_where_one_request_after_the_other_fails_slowly() -> None:
    async def cross() -> None:
        crossing = Crossing()
        await crossing.start(1, 2, 3, 4)
        await asyncio.sleep(LONGEST_SILENCE * 0.6)
        await crossing.end(1, timed_out)
        assert crossing.under_way == {2}
        await asyncio.sleep(LONGEST_SILENCE * 0.6)
        assert crossing.under_way == {2, 3, 4}
        await leave(crossing)

    in_virtual_time(cross())


def test_a_gate_that_was_given_up_is_shut_again_once_a_known_clock_is_too_old() -> None:
    async def cross() -> None:
        crossing = await one_hangs()
        await crossing.end(2, crossing.answered)
        crossing.steady += LONGEST_UNHEARD + 1
        await crossing.start(4, 5)
        assert crossing.under_way == {1, 3, 4}
        await crossing.end(1, timed_out)
        assert crossing.under_way == {3, 4}
        await crossing.end(4, crossing.answered)
        assert crossing.under_way == {3, 5}
        await leave(crossing)

    in_virtual_time(cross())


async def test_nobody_waits_for_a_gateway_that_does_not_tell_its_time_until_it_does() -> None:
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    await crossing.end(1, crossing.answered_without_date)
    assert crossing.under_way == {2, 3}
    crossing.answered()
    crossing.steady += LONGEST_UNHEARD + 1
    await crossing.start(4, 5)
    assert crossing.under_way == {2, 3, 4}
    await leave(crossing)


async def test_while_the_clock_is_in_doubt_one_asks_at_a_time() -> None:
    crossing = Crossing()
    await crossing.start(1, 2, 3)
    await crossing.end(1, crossing.answered_in_doubt)
    assert crossing.under_way == {2}
    await crossing.end(2, crossing.answered_in_doubt)
    assert crossing.under_way == {3}
    await crossing.start(4, 5)
    await crossing.end(3, crossing.answered)
    assert crossing.under_way == {4, 5}
    await leave(crossing)


@pytest.mark.parametrize(("idle", "asleep"), [(LONGEST_UNHEARD + 1, 0.0), (1.0, 3600.0), (1.0, -3600.0)])
async def test_after_a_long_silence_or_a_sleep_of_the_machine_one_measures_anew(idle: float, asleep: float) -> None:
    crossing = Crossing()
    crossing.answered()
    crossing.steady += idle
    crossing.asleep = asleep
    await crossing.start(1, 2)
    assert crossing.under_way == {1}
    await crossing.end(1, crossing.answered)
    assert crossing.under_way == {2}
    await leave(crossing)
