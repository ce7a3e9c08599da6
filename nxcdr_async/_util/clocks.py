"""The event loop, the two clocks of this machine, and waiting by the steady one.

Tests freeze time. The wall clock follows them: it says when requests are signed, and up to when there are calls. How
long something takes, and how long to wait, goes by a clock that nobody stops, or no wait would ever end.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.machinery import BuiltinImporter, ModuleSpec
from importlib.util import module_from_spec
from threading import Timer
from types import BuiltinFunctionType, ModuleType
from typing import Any, ClassVar

import anyio

from nxcdr_async._util.moments import moment_at


def _unseen_time() -> ModuleType:
    # A copy of the module `time`: who stands in for its functions has done so before we are imported, or does it later.
    itself: Any = BuiltinImporter  # the class is the loader
    module = module_from_spec(ModuleSpec("time", itself))
    BuiltinImporter.exec_module(module)
    return module


_TOO_FAST = 0.5
"""Seconds that no loop takes to be asked for the time twice."""


class _TrueClock:
    # In a class, as whoever freezes time replaces what modules hold.
    MONOTONIC: ClassVar[Callable[[], float]] = _unseen_time().monotonic


def steady() -> float:
    """Return the seconds of the clock that never jumps, for durations."""
    return _TrueClock.MONOTONIC()


def wall() -> float:
    """Return the epoch seconds of the clock that people set, and tests freeze."""
    return time.time()


def present() -> datetime:
    """Return the time by the clock that people set, in UTC."""
    return moment_at(wall())


def timers_keep_time() -> bool:
    """Return whether the timers of the event loop come due when they should, and not never or at once."""
    if isinstance(time.monotonic, BuiltinFunctionType):
        return True
    loop = asyncio.get_running_loop()
    before, began = loop.time(), steady()
    while (passed := steady() - began) == 0:
        pass
    return 0 < loop.time() - before < passed + _TOO_FAST


async def sleep(seconds: float) -> None:
    """Wait, also where the timers of the event loop do not keep time."""
    if timers_keep_time():
        await anyio.sleep(seconds)
        return
    woken = asyncio.Event()
    with _alarm(seconds, woken.set):
        await woken.wait()


def call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
    """Call something in the event loop after some seconds, also where its timers do not keep time.

    Returns:
        what cancels it.
    """
    if timers_keep_time():
        return asyncio.get_running_loop().call_later(seconds, call).cancel
    return _start_alarm(seconds, call)


@contextmanager
def move_on_after(seconds: float) -> Iterator[anyio.CancelScope]:
    """Cancel a block after some seconds, also where the timers of the event loop do not keep time."""
    if timers_keep_time():
        with anyio.move_on_after(seconds) as scope:
            yield scope
        return
    with anyio.CancelScope() as scope, _alarm(seconds, scope.cancel):
        yield scope


@contextmanager
def fail_after(seconds: float) -> Iterator[None]:
    """Cancel a block after some seconds, also where the timers of the event loop do not keep time.

    Raises:
        TimeoutError: it was.
    """
    with move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise TimeoutError


def new_steady_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop whose timers nobody stops."""
    loop = asyncio.new_event_loop()
    if isinstance(loop, asyncio.BaseEventLoop):  # others do not ask Python for the time
        # All that a loop waits for goes by this method.
        loop.time = steady  # type: ignore[method-assign]  # there is no argument for it
    return loop


@contextmanager
def _alarm(seconds: float, ring: Callable[[], Any]) -> Iterator[None]:
    """Call something in the event loop after some seconds, unless the block ends before."""
    cancel = _start_alarm(seconds, ring)
    try:
        yield
    finally:
        cancel()


def _start_alarm(seconds: float, ring: Callable[[], Any]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def call() -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(ring)

    timer = Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer.cancel
