"""The clocks of this machine: one follows whoever freezes time, the other goes on, and what waits goes by that one."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import time_machine
from freezegun import freeze_time

from nxcdr_async import CdrSession, TimedOutError
from nxcdr_async._util.clocks import (
    call_later,
    fail_after,
    move_on_after,
    new_steady_loop,
    present,
    sleep,
    steady,
    timers_keep_time,
    wall,
)
from nxcdr_async.testing import Gateway

AT = datetime(2020, 2, 29, 12, tzinfo=UTC)
FREEZING: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "freezegun": lambda: freeze_time(AT),
    "freezegun, auto_tick_seconds": lambda: freeze_time(AT, auto_tick_seconds=600),
    "freezegun, real_asyncio": lambda: freeze_time(AT, real_asyncio=True),
    "time_machine": lambda: time_machine.travel(AT, tick=False),
}
frozen = pytest.mark.parametrize("tool", FREEZING)
A_MOMENT = 0.01


@pytest.mark.parametrize("tool", ["freezegun", "time_machine"])
def test_the_wall_clock_is_frozen(tool: str) -> None:
    with FREEZING[tool]():
        assert wall() == AT.timestamp()
        assert present() == AT
    assert wall() > AT.timestamp() + 86_400


@frozen
def test_the_steady_clock_goes_on(tool: str) -> None:
    before = steady()
    with FREEZING[tool]():
        within = steady()
    assert before < within < steady() < before + 60


@pytest.mark.parametrize("tool", ["freezegun", "time_machine"])
def test_the_present_is_of_the_true_type(tool: str) -> None:
    with FREEZING[tool]():
        assert type(present()) is type(AT)


@frozen
async def test_a_wait_ends(tool: str) -> None:
    with FREEZING[tool]():
        began = steady()
        await sleep(A_MOMENT)
        assert steady() - began >= A_MOMENT * 0.9


@frozen
async def test_a_wait_can_be_cancelled(tool: str) -> None:
    with FREEZING[tool]():
        waiting = asyncio.ensure_future(sleep(600))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@frozen
async def test_a_timer_calls_unless_it_is_cancelled(tool: str) -> None:
    called = asyncio.Event()
    with FREEZING[tool]():
        cancel = call_later(A_MOMENT / 2, pytest.fail)
        cancel()
        began = steady()
        call_later(A_MOMENT, called.set)
        await called.wait()
        assert steady() - began >= A_MOMENT * 0.9


@frozen
async def test_a_block_that_takes_too_long_is_left(tool: str) -> None:
    with FREEZING[tool]():
        with move_on_after(A_MOMENT) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), fail_after(A_MOMENT):
            await anyio.sleep_forever()


@frozen
async def test_a_block_that_ends_in_time_is_not_touched(tool: str) -> None:
    with FREEZING[tool]():
        with move_on_after(600) as scope:
            await anyio.lowlevel.checkpoint()
        assert not scope.cancel_called
        with fail_after(600):
            await anyio.lowlevel.checkpoint()


async def test_timers_keep_time_where_nobody_freezes_it() -> None:
    assert timers_keep_time()


@pytest.mark.parametrize(
    ("tool", "keep"),
    [
        ("freezegun", False),
        ("freezegun, auto_tick_seconds", False),
        ("freezegun, real_asyncio", True),
        ("time_machine", True),
    ],
)
async def test_timers_are_told_that_do_not_keep_time(tool: str, keep: bool) -> None:
    with FREEZING[tool]():
        assert timers_keep_time() is keep


def test_a_steady_loop_waits_by_itself() -> None:
    with freeze_time(AT), asyncio.Runner(loop_factory=new_steady_loop) as runner:
        runner.run(asyncio.sleep(A_MOMENT))


@pytest.mark.first_of
@frozen
async def test_a_gateway_that_does_not_answer_is_given_up(tool: str) -> None:
    with Gateway(calls=10) as gateway, FREEZING[tool]():
        gateway.fail_next("hang", times=100)
        async with CdrSession(gateway=gateway.url, credentials=gateway.credentials, timeout=0.1) as cdr:
            with pytest.raises(TimedOutError, match=r"within 0\.1 s"):
                await cdr.calls_by_order("order", tenant_id=gateway.tenant_id)


async def test_a_session_that_was_opened_before_follows_the_clock_of_the_test() -> None:
    with Gateway(calls=10) as gateway:
        async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as cdr:
            for moment in ("2026-03-01", "2024-01-01"):
                with freeze_time(moment):
                    assert await cdr.calls_by_order("order", tenant_id=gateway.tenant_id) == []
            assert await cdr.calls_by_order("order", tenant_id=gateway.tenant_id) == []
