import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Coroutine
from itertools import accumulate
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError
from nxcdr_async.limits.budget import Slot
from nxcdr_async.limits.concurrency import FIRST_LIMIT, HIGHEST_LIMIT, SHRINK
from nxcdr_async.limits.limiter import MOST_CONCURRENCY, MOST_RATE, Limiter
from tests.timers import after

GATEWAY = "https://gateway.example"
ACCOUNT = "account"


@define
class FakeTime:
    """A clock that only moves by sleeping, or when a test says so."""

    now: float = 0.0
    sleepers: list[tuple[float, asyncio.Event]] = Factory(list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        entry = (self.now + seconds, asyncio.Event())
        self.sleepers.append(entry)
        try:
            await entry[1].wait()
        finally:
            self.sleepers.remove(entry)

    async def run_until(self, moment: float) -> None:
        """Go on from one sleeper's end to the next."""
        await settle()
        while due := [entry for entry in self.sleepers if entry[0] <= moment and not entry[1].is_set()]:
            self.now, woken = min(due, key=lambda entry: entry[0])
            woken.set()
            await settle()
        self.now = moment


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@define
class Users:
    """Requests that take a slot and keep it until they are told to let go."""

    limiter: Limiter
    time: FakeTime
    account: str = ACCOUNT
    clients: list[str | None] = Factory(list)
    started: list[tuple[int, float]] = Factory(list)
    slots: list[Slot] = Factory(list)
    tasks: list[asyncio.Task[None]] = Factory(list)
    done: list[asyncio.Event] = Factory(list)

    def add(self, count: int = 1, client: str | None = None) -> None:
        for _ in range(count):
            self.clients.append(client)
            self.done.append(asyncio.Event())
            self.tasks.append(asyncio.create_task(self._use(len(self.tasks))))

    async def _use(self, number: int) -> None:
        async with self.limiter.slot(GATEWAY, self.account, self.clients[number]) as slot:
            self.slots.append(slot)
            self.started.append((number, self.time.now))
            await self.done[number].wait()

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.started]

    @property
    def starts(self) -> str:
        """The clients of the requests that started, in order."""
        return "".join(self.clients[number] or "?" for number in self.numbers)

    @property
    def times(self) -> list[float]:
        return [moment for _, moment in self.started]


@contextlib.asynccontextmanager
async def users_of(limiter: Limiter, time: FakeTime, account: str = ACCOUNT) -> AsyncIterator[Users]:
    users = Users(limiter, time, account)
    try:
        yield users
    finally:
        for task in users.tasks:
            task.cancel()
        await asyncio.gather(*users.tasks, return_exceptions=True)
        assert limiter.in_flight == 0


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def limiter_with(time: FakeTime, *, concurrency: int | None = None, rate: float | None = None) -> Limiter:
    return Limiter(concurrency=concurrency, rate=rate, now=time, call_later=after(time.sleep))


async def test_no_more_are_in_flight_than_the_limit(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=3), time) as users:
        users.add(10)
        await settle()
        assert users.numbers == [0, 1, 2]
        assert users.limiter.in_flight == users.limiter.peak_in_flight == 3


async def test_slots_are_given_first_come_first_served(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=2), time) as users:
        users.add(8)
        await settle()
        for number in range(6):
            users.done[number].set()
            await settle()
        assert users.numbers == list(range(8))


async def test_clients_take_turns_however_much_one_asks(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=1), time) as users:
        users.add(5, "a")
        users.add(2, "b")
        users.add(1, "c")
        await settle()
        for done in users.done:
            done.set()
        await time.run_until(1)
        assert users.starts == "aabcabaa"


async def test_who_looks_something_up_is_next_but_one_behind_an_export_at_a_rate(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=64, rate=1), time) as users:
        users.add(40, "a")
        await time.run_until(10.5)
        users.add(1, "b")
        await time.run_until(20)
        assert users.starts == "a" * 12 + "b" + "a" * 8


async def test_who_looks_something_up_is_next_but_one_after_the_limit_fell(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=16), time) as users:
        users.add(16, "a")
        await settle()
        users.slots[1].on_throttled(0)
        users.slots[1].on_throttled(0)
        assert users.limiter.limit(GATEWAY, ACCOUNT) == 1
        users.add(15, "a")  # what was refused is asked again
        users.add(1, "b")
        for done in users.done:
            done.set()
        await time.run_until(1)
        assert users.starts[16:19] in {"aba", "baa"}


async def test_a_client_that_is_cancelled_holds_nobody_up(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=1), time) as users:
        users.add(4, "a")
        users.add(1, "b")
        await settle()
        for task in users.tasks[:4]:
            task.cancel()
        await settle()
        assert users.starts == "ab"


@pytest.mark.parametrize("bounds", [{"rate": 10.0}, {"concurrency": 1}, {"rate": 10.0, "concurrency": 2}])
async def test_gateways_take_turns_within_the_bounds_of_a_session(bounds: Any, time: FakeTime) -> None:
    limiter = limiter_with(time, **bounds)
    starts: list[str] = []

    async def ask(gateway: str) -> None:
        async with limiter.slot(gateway, ACCOUNT, gateway):
            starts.append(gateway)
            await time.sleep(0.01)

    tasks = [asyncio.create_task(ask(gateway)) for gateway in "A" * 20 + "B" * 5 + "C"]
    await time.run_until(10)
    assert all(task.done() for task in tasks)
    order = "".join(starts)
    assert order.index("C") <= 4
    assert order.rindex("B") <= 3 * 5 + 1


async def test_a_pause_of_one_gateway_holds_no_other_up_whose_turn_comes_later(time: FakeTime) -> None:
    limiter = limiter_with(time, concurrency=1)
    limiter.pause_for("paused", ACCOUNT, 60)
    started: list[float] = []

    async def ask(gateway: str) -> None:
        async with limiter.slot(gateway, ACCOUNT):
            started.append(time.now)

    tasks = [asyncio.create_task(ask(gateway)) for gateway in ("paused", "other", "other")]
    await time.run_until(1)
    assert started == [0, 0]
    await time.run_until(61)
    assert started == [0, 0, 60]
    await asyncio.gather(*tasks)


async def test_a_cancelled_waiter_frees_its_place_in_the_queue(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=1), time) as users:
        users.add(3)
        await settle()
        users.tasks[1].cancel()
        users.done[0].set()
        await settle()
        assert users.numbers == [0, 2]


async def test_a_request_cancelled_in_its_slot_frees_it(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=1), time) as users:
        users.add(2)
        await settle()
        users.tasks[0].cancel()
        await settle()
        assert users.numbers == [0, 1]


async def test_a_waiter_cancelled_while_it_is_paced_frees_its_slot(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=1, rate=1), time) as users:
        users.add(3)
        await settle()
        users.done[0].set()
        await settle()
        users.tasks[1].cancel()
        await time.run_until(5)
        assert users.numbers == [0, 2]


async def test_a_failing_request_frees_its_slot(time: FakeTime) -> None:
    limiter = limiter_with(time, concurrency=1)
    for _ in range(3):
        with pytest.raises(LookupError):
            async with limiter.slot(GATEWAY, ACCOUNT):
                raise LookupError
    assert limiter.in_flight == 0


@pytest.mark.parametrize("rate", [0.5, 1.0, 3.0, 8.0, 250.0])
async def test_a_rate_paces_starts_exactly(time: FakeTime, rate: float) -> None:
    async with users_of(limiter_with(time, concurrency=64, rate=rate), time) as users:
        users.add(40)
        await time.run_until(40 / rate)
        assert users.numbers == list(range(40))
        assert users.times == pytest.approx([number / rate for number in range(40)])


async def test_a_rate_paces_starts_over_all_gateways(time: FakeTime) -> None:
    limiter = limiter_with(time, rate=10)
    async with users_of(limiter, time, "one") as one, users_of(limiter, time, "other") as other:
        one.add(10)
        other.add(10)
        for done in one.done + other.done:
            done.set()
        await time.run_until(5)
        assert sorted(one.times + other.times) == pytest.approx([number / 10 for number in range(20)])
        assert other.times[:8] == pytest.approx([0.2 + number / 5 for number in range(8)])


async def test_a_pause_in_use_earns_no_burst_after_it(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=64, rate=2), time) as users:
        users.add(1)
        await time.run_until(100)
        users.add(3)
        await time.run_until(200)
        assert users.times == [0, 100, 100.5, 101]


async def test_without_a_rate_nothing_waits(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=20), time) as users:
        users.add(20)
        await settle()
        assert users.times == [0.0] * 20


async def test_nothing_starts_while_the_gateway_asked_for_a_pause(time: FakeTime) -> None:
    limiter = limiter_with(time)
    limiter.pause_for(GATEWAY, ACCOUNT, 7)
    async with users_of(limiter, time) as users:
        users.add(3)
        await time.run_until(6.9)
        assert users.numbers == []
        await time.run_until(7)
        assert users.times == [7, 7, 7]


async def test_a_longer_pause_prolongs_one_under_way_and_a_shorter_does_not(time: FakeTime) -> None:
    limiter = limiter_with(time)
    limiter.pause_for(GATEWAY, ACCOUNT, 5)
    async with users_of(limiter, time) as users:
        users.add(1)
        await time.run_until(3)
        limiter.pause_for(GATEWAY, ACCOUNT, 10)
        limiter.pause_for(GATEWAY, ACCOUNT, 1)
        await time.run_until(12.9)
        assert users.numbers == []
        await time.run_until(13)
        assert users.times == [13]


async def test_a_pause_holds_those_too_who_wait_for_the_rate_already(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=8, rate=1), time) as users:
        users.add(4)
        await time.run_until(0.5)
        users.limiter.pause_for(GATEWAY, ACCOUNT, 10)
        await time.run_until(10.4)
        assert users.numbers == [0]
        await time.run_until(30)
        assert users.numbers == [0, 1, 2, 3]
        assert users.times == [0, 10.5, 11.5, 12.5]


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "8", MOST_CONCURRENCY + 1])
def test_a_concurrency_that_means_nothing_is_refused(concurrency: int) -> None:
    with pytest.raises(ConfigurationError, match=r"concurrency is .*: give a whole number from 1 to 10,000"):
        Limiter(concurrency=concurrency)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), True, "2", 1e7])
def test_a_rate_that_means_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match=r"rate is .*: give the requests a second .* up to 1,000,000"):
        Limiter(rate=rate)


@pytest.mark.parametrize(("concurrency", "rate"), [(1, 1e-9), (MOST_CONCURRENCY, MOST_RATE)])
def test_the_lowest_and_the_highest_numbers_are_taken(concurrency: int, rate: float) -> None:
    assert Limiter(concurrency=concurrency, rate=rate).ceiling == concurrency


async def test_a_place_given_in_the_step_in_which_its_taker_is_cancelled_goes_to_the_next() -> None:
    limiter = Limiter(concurrency=1)
    order: list[str] = []

    async def ask(name: str) -> None:
        async with limiter.slot(GATEWAY, ACCOUNT):
            order.append(name)

    async with limiter.slot(GATEWAY, ACCOUNT):
        first, second = asyncio.create_task(ask("first")), asyncio.create_task(ask("second"))
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 5)
    assert order == ["second"]
    assert limiter.in_flight == 0


async def test_a_fixed_concurrency_starts_at_its_ceiling_and_never_exceeds_it(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=5), time) as users:
        users.add(20)
        await settle()
        for _ in range(100):
            users.slots[0].on_success()
        await settle()
        assert users.limiter.limit(GATEWAY, ACCOUNT) == len(users.started) == 5


async def test_good_replies_let_waiters_in_at_once(time: FakeTime) -> None:
    async with users_of(limiter_with(time), time) as users:
        users.add(FIRST_LIMIT + 2)
        await settle()
        assert len(users.started) == FIRST_LIMIT
        while users.limiter.limit(GATEWAY, ACCOUNT) == FIRST_LIMIT:
            users.slots[0].on_success()
        await settle()
        assert len(users.started) == FIRST_LIMIT + 1


async def test_a_limit_that_adapts_never_exceeds_the_highest(time: FakeTime) -> None:
    async with users_of(limiter_with(time), time) as users:
        users.add(HIGHEST_LIMIT * 2)
        for _ in range(HIGHEST_LIMIT**2):
            await asyncio.sleep(0)
            if users.slots:
                users.slots[0].on_success()
        await settle()
        assert users.limiter.in_flight == users.limiter.limit(GATEWAY, ACCOUNT) == HIGHEST_LIMIT


async def test_a_refusal_takes_no_slot_away_but_lets_nobody_new_in(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=10), time) as users:
        users.add(12)
        await settle()
        time.now = 1.0
        users.slots[0].on_timeout()
        users.done[0].set()
        await settle()
        assert users.limiter.in_flight == 9
        for number in range(1, 4):
            users.done[number].set()
        await settle()
        assert users.limiter.in_flight == 10 * SHRINK


async def test_refusals_with_others_in_flight_leave_room_for_just_those_others(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=10), time) as users:
        users.add(10)
        await settle()
        users.slots[6].on_throttled(0)
        users.slots[6].on_throttled(0)
        assert users.limiter.limit(GATEWAY, ACCOUNT) == 6


async def test_a_lower_ceiling_of_the_line_lowers_the_limit(time: FakeTime) -> None:
    limiter = limiter_with(time)
    limiter.lower_ceiling(3)
    limiter.lower_ceiling(50)
    assert limiter.limit(GATEWAY, ACCOUNT) == limiter.ceiling == 3


async def test_a_pause_of_one_gateway_does_not_hold_another(time: FakeTime) -> None:
    limiter = limiter_with(time)
    limiter.pause_for(GATEWAY, ACCOUNT, 60)
    async with limiter.slot("https://other.example", ACCOUNT):
        assert limiter.in_flight == 1


async def test_the_ceiling_holds_over_all_gateways_together(time: FakeTime) -> None:
    limiter = limiter_with(time, concurrency=2)
    async with users_of(limiter, time) as users:
        async with limiter.slot(GATEWAY, ACCOUNT), limiter.slot("https://other.example", ACCOUNT):
            users.add(1)
            await settle()
            assert users.numbers == []
        await settle()
        assert users.numbers == [0]


async def test_sessions_of_one_account_share_what_a_gateway_allows(time: FakeTime) -> None:
    one, other = limiter_with(time), limiter_with(time)
    async with users_of(one, time) as first, users_of(other, time) as second:
        first.add(FIRST_LIMIT)
        await settle()
        second.add(1)
        await settle()
        assert (one.in_flight, other.in_flight) == (FIRST_LIMIT, 0)
        first.slots[3].on_throttled(0)
        first.slots[3].on_throttled(0)
        assert one.limit(GATEWAY, ACCOUNT) == 3
        second.add(1)
        for done in first.done[:6]:
            done.set()
        await settle()
        assert other.limit(GATEWAY, ACCOUNT) == 3
        assert (one.in_flight, other.in_flight) == (2, 1)


async def test_sessions_take_turns_however_much_one_asks(time: FakeTime) -> None:
    one, other = limiter_with(time), limiter_with(time)
    async with users_of(one, time) as greedy, users_of(other, time) as modest:
        greedy.add(100)
        await settle()
        modest.add(4)
        for number in range(8):
            greedy.done[number].set()
            await settle()
        assert len(greedy.started) == FIRST_LIMIT + 4
        assert len(modest.started) == 4


async def test_accounts_do_not_share(time: FakeTime) -> None:
    one, other = limiter_with(time), limiter_with(time)
    async with users_of(one, time, "one") as first, users_of(other, time, "other") as second:
        first.add(FIRST_LIMIT)
        second.add(FIRST_LIMIT)
        await settle()
        assert (one.in_flight, other.in_flight) == (FIRST_LIMIT, FIRST_LIMIT)


async def test_a_session_that_joins_with_a_fixed_number_wakes_who_waits_under_the_old_limit(time: FakeTime) -> None:
    async with users_of(limiter_with(time), time) as users:
        users.add(FIRST_LIMIT + 2)
        await settle()
        assert len(users.started) == FIRST_LIMIT
        joining = limiter_with(time, concurrency=40)
        joining.pause_for(GATEWAY, ACCOUNT, 0)
        await settle()
        assert len(users.started) == FIRST_LIMIT + 2


async def test_accounts_of_one_session_do_not_share(time: FakeTime) -> None:
    limiter = limiter_with(time)
    async with limiter.slot(GATEWAY, "one") as slot:
        slot.on_timeout()
        limiter.pause_for(GATEWAY, "one", 60)
        async with limiter.slot(GATEWAY, "other"):
            assert limiter.limit(GATEWAY, "one") < limiter.limit(GATEWAY, "other") == FIRST_LIMIT


async def test_fixed_numbers_of_several_sessions_add_up(time: FakeTime) -> None:
    limiters = [limiter_with(time, concurrency=40) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(users_of(limiter, time)) for limiter in limiters]
        for each in users:
            each.add(50)
        await settle()
        await settle()
        assert [limiter.in_flight for limiter in limiters] == [40, 40, 40]


def test_each_event_loop_has_lanes_of_its_own() -> None:
    limiters = [Limiter(), Limiter()]

    async def use(limiter: Limiter) -> None:
        async with limiter.slot(GATEWAY, ACCOUNT) as slot:
            slot.on_throttled(0)
            slot.on_timeout()

    asyncio.run(use(limiters[0]))
    asyncio.run(use(limiters[1]))
    assert limiters[0]._budgets[GATEWAY, ACCOUNT] is not limiters[1]._budgets[GATEWAY, ACCOUNT]


async def test_what_was_learned_is_forgotten_once_the_last_session_is_closed(time: FakeTime) -> None:
    one, other = limiter_with(time), limiter_with(time)
    async with one.slot(GATEWAY, ACCOUNT) as slot, other.slot(GATEWAY, ACCOUNT):
        slot.on_timeout()
    learned = one.limit(GATEWAY, ACCOUNT)
    assert learned < FIRST_LIMIT
    one.leave()
    third = limiter_with(time)
    async with third.slot(GATEWAY, ACCOUNT):
        assert third.limit(GATEWAY, ACCOUNT) == learned
    other.leave()
    third.leave()
    fresh = limiter_with(time)
    async with fresh.slot(GATEWAY, ACCOUNT):
        assert fresh.limit(GATEWAY, ACCOUNT) == FIRST_LIMIT


def test_a_session_that_is_closed_in_another_loop_touches_no_budget_there() -> None:
    one, other = Limiter(), Limiter()

    async def use(limiter: Limiter) -> None:
        async with limiter.slot(GATEWAY, ACCOUNT) as slot:
            slot.on_timeout()

    async def close(limiter: Limiter) -> None:
        await use(other)
        limiter.leave()
        third = Limiter()
        await use(third)
        assert third._budgets[GATEWAY, ACCOUNT] is other._budgets[GATEWAY, ACCOUNT]

    asyncio.run(use(one))
    asyncio.run(close(one))


async def test_what_was_learned_is_forgotten_with_the_last_session(time: FakeTime) -> None:
    limiter = limiter_with(time)
    async with limiter.slot(GATEWAY, ACCOUNT) as slot:
        slot.on_timeout()
    assert limiter.limit(GATEWAY, ACCOUNT) < FIRST_LIMIT
    del limiter, slot
    gc.collect()
    fresh = limiter_with(time)
    async with fresh.slot(GATEWAY, ACCOUNT):
        assert fresh.limit(GATEWAY, ACCOUNT) == FIRST_LIMIT


async def use_for(limiter: Limiter, time: FakeTime, seconds: float) -> None:
    async with limiter.slot(GATEWAY, ACCOUNT) as slot:
        time.now += seconds
        slot.on_success()


async def test_without_a_rate_as_many_are_worth_it_as_the_limit_lets_in(time: FakeTime) -> None:
    limiter = limiter_with(time, concurrency=12)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 12
    await use_for(limiter, time, 5)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 12


async def test_a_cut_limit_makes_fewer_worth_it(time: FakeTime) -> None:
    limiter = limiter_with(time, concurrency=10)
    async with limiter.slot(GATEWAY, ACCOUNT) as slot:
        slot.on_timeout()
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == int(10 * SHRINK)


async def test_with_a_rate_one_is_worth_it_until_it_is_known_how_long_one_takes(time: FakeTime) -> None:
    assert limiter_with(time, concurrency=12, rate=100).useful_concurrency(GATEWAY, ACCOUNT) == 1


@pytest.mark.parametrize(
    ("seconds", "rate", "useful_concurrency"), [(0.1, 5, 2), (1.0, 5, 6), (0.5, 5, 4), (60.0, 5, 12)]
)
async def test_with_a_rate_as_many_are_worth_it_as_start_while_one_is_answered_and_one_that_waits(
    time: FakeTime, seconds: float, rate: float, useful_concurrency: int
) -> None:
    limiter = limiter_with(time, concurrency=12, rate=rate)
    for _ in range(100):
        time.now += 1
        await use_for(limiter, time, seconds - 1e-9)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == useful_concurrency


async def test_what_one_request_takes_counts_a_little_at_a_time(time: FakeTime) -> None:
    limiter = await slow_limiter(time)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 11
    await use_for(limiter, time, 6)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 21


async def slow_limiter(time: FakeTime) -> Limiter:
    """Return a limiter of ten requests a second that has learned that one takes a second, so eleven are worth it."""
    limiter = limiter_with(time, concurrency=100, rate=10)
    for _ in range(100):
        time.now += 1
        await use_for(limiter, time, 1 - 1e-9)
    time.now += 1
    return limiter


async def test_what_a_refusal_takes_is_not_how_long_one_takes(time: FakeTime) -> None:
    limiter = await slow_limiter(time)
    async with limiter.slot(GATEWAY, ACCOUNT) as slot:
        slot.on_throttled(0)
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 11


async def test_what_a_request_without_a_reply_takes_is_not_how_long_one_takes(time: FakeTime) -> None:
    limiter = await slow_limiter(time)
    async with limiter.slot(GATEWAY, ACCOUNT):
        time.now += 30
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 11


async def test_a_wait_in_the_slot_before_the_request_goes_out_is_not_how_long_one_takes(time: FakeTime) -> None:
    limiter = await slow_limiter(time)
    async with limiter.slot(GATEWAY, ACCOUNT) as slot:
        time.now += 60
        slot.sent()
        time.now += 1 - 1e-9
        slot.on_success()
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 11


async def test_how_long_one_takes_is_known_of_each_gateway(time: FakeTime) -> None:
    limiter = await slow_limiter(time)
    async with limiter.slot("https://other.example", ACCOUNT) as slot:
        slot.on_success()
    assert limiter.useful_concurrency(GATEWAY, ACCOUNT) == 11
    assert limiter.useful_concurrency("https://other.example", ACCOUNT) == 1


async def test_the_wait_for_the_rate_is_no_part_of_how_long_one_takes(time: FakeTime) -> None:
    async with users_of(limiter_with(time, concurrency=8, rate=1), time) as users:
        users.add(8)
        for done in users.done:
            done.set()
        await time.run_until(20)
        assert users.limiter.useful_concurrency(GATEWAY, ACCOUNT) == 1


@given(st.lists(st.floats(0, 1000), max_size=30), st.floats(0.01, 1000), st.integers(1, 100))
async def test_what_is_worth_it_is_at_least_one_and_at_most_the_limit(
    taken: list[float], rate: float, concurrency: int
) -> None:
    time = FakeTime()
    limiter = limiter_with(time, concurrency=concurrency, rate=rate)
    for seconds in taken:
        time.now += 1 / rate
        await use_for(limiter, time, seconds)
        assert 1 <= limiter.useful_concurrency(GATEWAY, ACCOUNT) <= limiter.limit(GATEWAY, ACCOUNT)


async def test_time_that_goes_on_while_it_is_read_makes_no_wait_negative() -> None:
    chance = random.Random(1)
    moments = accumulate(chance.uniform(0, 0.5) for _ in range(10_000))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    limiter = Limiter(rate=0.4, now=lambda: next(moments), call_later=after(sleep))
    for _ in range(20):
        async with limiter.slot(GATEWAY, ACCOUNT):
            pass
    assert slept
    assert min(slept) >= 0


@define
class Crowd:
    """Requests that come again and again, and each take some time."""

    time: FakeTime
    chance: random.Random = Factory(lambda: random.Random(7))
    waits: list[float] = Factory(list)

    async def ask(self, limiter: Limiter, gateway: str, *, refusals: float = 0.0, pause: float = 0.0) -> None:
        """Ask once; so large a part is refused, and asks for a pause."""
        asked = self.time.now
        async with limiter.slot(gateway, ACCOUNT) as slot:
            self.waits.append(self.time.now - asked)
            await self.time.sleep(self.chance.uniform(0.08, 0.12))
            if self.chance.random() < refusals:
                slot.on_throttled(pause)
                limiter.pause_for(gateway, ACCOUNT, pause)
            else:
                slot.on_success()

    async def go_on(self, limiter: Limiter, gateway: str, **how: float) -> None:
        while True:
            await self.ask(limiter, gateway, **how)


@contextlib.asynccontextmanager
async def cancelled_at_the_end(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def nothing_is_left_of(limiter: Limiter) -> bool:
    budgets = limiter._budgets.values()
    return (
        limiter.in_flight == 0
        and not limiter._session.claims
        and not any(budget._waiting or budget.starts.in_flight or budget._cancel_timer for budget in budgets)
    )


@pytest.mark.parametrize("bounds", [{"concurrency": 1}, {"concurrency": 8}, {"concurrency": 4, "rate": 20}])
async def test_who_looks_something_up_is_served_though_session_and_gateway_are_busy_with_others(
    bounds: Any, time: FakeTime
) -> None:
    one, other = limiter_with(time, **bounds), limiter_with(time, concurrency=8)
    busy, crowd = Crowd(time), Crowd(time)
    elsewhere = [busy.go_on(one, "https://elsewhere.example") for _ in range(16)]
    beside = [busy.go_on(other, GATEWAY, refusals=0.05) for _ in range(24)]
    async with cancelled_at_the_end(*elsewhere, *beside):
        await time.run_until(10)
        async with cancelled_at_the_end(crowd.go_on(one, GATEWAY)):
            await time.run_until(40)
    assert len(crowd.waits) > 40
    assert max(crowd.waits) < 1.5
    assert nothing_is_left_of(one)
    assert nothing_is_left_of(other)


@pytest.mark.parametrize("paused", ["before", "meanwhile", "never"])
async def test_no_place_is_kept_for_a_request_that_waits_for_the_end_of_a_pause(time: FakeTime, paused: str) -> None:
    one, other = limiter_with(time, concurrency=1), limiter_with(time)
    async with users_of(other, time) as beside, users_of(one, time) as here, users_of(one, time, "elsewhere") as there:
        beside.add(FIRST_LIMIT)
        await settle()
        here.add()
        await settle()
        there.add(2)
        beside.add()
        await settle()
        # The gateway lets one more start while the session does not, and the other way round.
        beside.done[0].set()
        await settle()
        there.done[0].set()
        await settle()
        there.add()
        await settle()
        if paused == "before":
            other.pause_for(GATEWAY, ACCOUNT, 20)
        there.done[1].set()
        await settle()
        if paused == "meanwhile":
            other.pause_for(GATEWAY, ACCOUNT, 20)
            await settle()
        assert (here.numbers, len(beside.numbers)) == ([], FIRST_LIMIT + 1)
        assert there.numbers == ([0, 1] if paused == "never" else [0, 1, 2])
        there.done[2].set()
        beside.done[1].set()
        await time.run_until(30)
        assert here.numbers == [0]
        here.done[0].set()
        await settle()


@pytest.mark.parametrize("seed", range(20))
async def test_a_storm_of_clients_that_come_and_go_leaves_nothing_behind(seed: int, time: FakeTime) -> None:
    chance = random.Random(seed)
    crowd = Crowd(time, chance)
    limiters = [
        limiter_with(time, concurrency=chance.choice([1, 2, 5, None]), rate=chance.choice([None, 5, 50]))
        for _ in range(3)
    ]
    gateways = [GATEWAY, "https://elsewhere.example"]
    async with cancelled_at_the_end() as tasks:
        for _ in range(150):
            for _ in range(chance.randrange(6)):
                ask = crowd.ask(chance.choice(limiters), chance.choice(gateways), refusals=0.1, pause=chance.random())
                tasks.append(asyncio.create_task(ask))
            for _ in range(chance.randrange(4)):
                chance.choice(tasks or [asyncio.create_task(asyncio.sleep(0))]).cancel()
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                await time.run_until(time.now + chance.random() / 5)
        await time.run_until(time.now + 600)
        assert all(task.done() for task in tasks)
    assert crowd.waits
    assert all(map(nothing_is_left_of, limiters))
