"""Whose request is next: every waiter is served, in turn, whoever is cancelled on the way."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter

import anyio
import pytest
from attrs import Factory, define
from hypothesis import given, strategies as st

from nxcdr_async.limits.fair_queue import FairQueue


@define
class Crowd:
    """Requests of some clients that wait for a turn which a test passes on."""

    queue: FairQueue = Factory(FairQueue)
    joined: list[str] = Factory(list)
    served: list[int] = Factory(list)
    tasks: list[asyncio.Task[None]] = Factory(list)
    _over: asyncio.Event = Factory(asyncio.Event)

    async def join(self, clients: str) -> None:
        """Have one more request wait for each client named."""
        for client in clients:
            self.joined.append(client)
            self.tasks.append(asyncio.create_task(self._ask(len(self.tasks), client)))
        await step()

    async def _ask(self, number: int, client: str) -> None:
        await self.queue.acquire(client)
        self.served.append(number)
        try:
            await self._over.wait()
        finally:
            self.queue.release()

    async def release(self, times: int = 1) -> None:
        """End the turn of whoever has it."""
        for _ in range(times):
            self._over.set()
            self._over = asyncio.Event()
            await step()

    async def empty(self) -> None:
        """Pass the turn on until nobody waits."""
        for _ in self.tasks:
            await self.release()
        assert self.queue.is_free
        assert all(task.done() for task in self.tasks)

    @property
    def order(self) -> str:
        """Whose turn it was, one after the other."""
        return "".join(self.joined[number] for number in self.served)


async def step() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_clients_take_turns() -> None:
    crowd = Crowd()
    await crowd.join("aaaabbbc")
    await crowd.empty()
    assert crowd.order == "abcababa"


async def test_requests_of_one_client_follow_one_another() -> None:
    crowd = Crowd()
    await crowd.join("aaaaaa")
    await crowd.empty()
    assert crowd.served == list(range(6))


async def test_clients_of_one_request_each_are_served_first_come_first_served() -> None:
    crowd = Crowd()
    await crowd.join("abcdef")
    await crowd.empty()
    assert crowd.order == "abcdef"


async def test_who_comes_late_waits_for_one_turn_of_each_other() -> None:
    crowd = Crowd()
    await crowd.join("aaaaabbbbb")
    await crowd.release(3)
    before = len(crowd.served)
    await crowd.join("c")
    await crowd.empty()
    assert crowd.order[before - 1 : before + 2] == "bac"


async def test_who_has_the_turn_and_asks_again_goes_behind_those_who_waited() -> None:
    crowd = Crowd()
    await crowd.join("ab")
    await crowd.join("a")
    await crowd.empty()
    assert crowd.order == "aba"


async def test_a_free_turn_is_taken_without_a_wait() -> None:
    queue = FairQueue()
    taking = queue.acquire("a")
    with pytest.raises(StopIteration):
        taking.send(None)
    assert not queue.is_free


async def test_a_waiter_that_is_cancelled_is_passed_over() -> None:
    crowd = Crowd()
    await crowd.join("abab")
    crowd.tasks[1].cancel()
    await crowd.empty()
    assert crowd.served == [0, 3, 2]


async def test_who_is_cancelled_in_the_step_in_which_the_turn_comes_passes_it_on() -> None:
    queue = FairQueue()
    await queue.acquire("a")
    waiters = [asyncio.create_task(queue.acquire(name)) for name in "bc"]
    await step()
    queue.release()
    waiters[0].cancel()
    waiters[0].cancel()
    await asyncio.wait_for(waiters[1], 5)
    assert waiters[0].cancelled()
    queue.release()
    assert queue.is_free


async def test_who_is_cancelled_in_the_step_before_the_turn_comes_does_not_have_it() -> None:
    queue = FairQueue()
    await queue.acquire("a")
    waiters = [asyncio.create_task(queue.acquire(name)) for name in "bc"]
    await step()
    waiters[0].cancel()
    queue.release()
    await asyncio.wait_for(waiters[1], 5)
    assert waiters[0].cancelled()
    queue.release()
    assert queue.is_free


async def test_the_last_waiter_that_is_cancelled_as_the_turn_comes_leaves_it_free() -> None:
    queue = FairQueue()
    await queue.acquire("a")
    waiter = asyncio.create_task(queue.acquire("b"))
    await step()
    queue.release()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert queue.is_free


async def test_a_scope_that_is_cancelled_takes_its_waiters_along() -> None:
    queue = FairQueue()
    await queue.acquire("a")
    with anyio.move_on_after(0) as scope:
        async with anyio.create_task_group() as group:
            for name in "bbcc":
                group.start_soon(queue.acquire, name)
    assert scope.cancelled_caught
    queue.release()
    assert queue.is_free


async def test_who_has_the_turn_keeps_it_though_all_others_of_its_client_give_up() -> None:
    crowd = Crowd()
    await crowd.join("aab")
    crowd.tasks[1].cancel()
    await step()
    assert crowd.served == [0]
    await crowd.join("c")
    await crowd.empty()
    assert crowd.order == "abc"


async def test_clients_that_gave_up_are_forgotten_while_the_turn_is_held() -> None:
    queue = FairQueue()
    await queue.acquire("holder")
    for number in range(100):
        waiter = asyncio.create_task(queue.acquire(number))
        await step()
        waiter.cancel()
        await asyncio.wait([waiter])
    assert len(queue._clients) == 1


ACTIONS = st.lists(
    st.one_of(
        st.sampled_from("abc"),
        st.just("pass"),
        st.just("step"),
        st.integers(0, 9),  # which of those that wait is cancelled
    ),
    max_size=60,
)


@given(ACTIONS)
async def test_every_waiter_is_served_in_order_and_none_waits_for_two_turns_of_another(
    actions: list[str | int],
) -> None:
    crowd = Crowd()
    waiting_since: dict[int, int] = {}  # request to the number of turns that had begun
    cancelled: set[int] = set()
    for action in actions:
        if isinstance(action, int):
            waiting = [number for number in range(len(crowd.tasks)) if number not in crowd.served]
            if waiting:
                chosen = waiting[action % len(waiting)]
                crowd.tasks[chosen].cancel()
                cancelled.add(chosen)
        elif action == "pass":
            crowd._over.set()
            crowd._over = asyncio.Event()
            await asyncio.sleep(0)
        elif action == "step":
            await step()
        else:
            waiting_since[len(crowd.tasks)] = len(crowd.served)
            await crowd.join(action)
    await step()
    await crowd.empty()

    numbers = range(len(crowd.tasks))
    assert set(numbers) - set(crowd.served) <= cancelled
    assert len(set(crowd.served)) == len(crowd.served)
    for client in set(crowd.joined):
        own = [number for number in crowd.served if crowd.joined[number] == client]
        assert own == sorted(own)
        for number in own:
            is_first = all(other in crowd.served[: waiting_since[number]] for other in own if other < number)
            if not is_first:
                continue
            between = crowd.served[waiting_since[number] : crowd.served.index(number)]
            queue = Counter(crowd.joined[other] for other in between)
            assert not [other for other, count in queue.items() if count > 1]


async def test_however_many_are_cancelled_at_random_moments_the_turn_goes_round() -> None:
    chance = random.Random(7)
    queue = FairQueue()
    has_turn = itertools.count()

    async def ask(client: int) -> None:
        for _ in range(20):
            await queue.acquire(client)
            try:
                next(has_turn)
                await asyncio.sleep(0)
            finally:
                queue.release()

    tasks = [asyncio.create_task(ask(number % 7)) for number in range(60)]
    while not all(task.done() for task in tasks):
        if chance.random() < 0.05:
            task = chance.choice(tasks)
            for _ in range(chance.choice((1, 2))):
                task.cancel()
        await asyncio.sleep(0)
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert queue.is_free
    assert next(has_turn) > 300
