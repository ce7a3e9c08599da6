"""Which pushes tell nothing new: what was taken lately, and one push of a call at a time."""

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field, fields

from nxcdr_async._util.clocks import fail_after
from nxcdr_async.protocol.auth import ALLOWED_SKEW_MS, SignedHeaders
from nxcdr_async.records.models import CallRecord

MOST_REMEMBERED = 100_000
"""Calls, and signatures, that are remembered at most; the oldest are forgotten first."""

MOST_VALUES = 3_000_000
"""Values of calls that are remembered at most, in some 24 MB; the oldest calls are forgotten first."""


MOST_OF_A_CALL = 100
"""Pushes of one call that are remembered at most: each new one is compared with them all."""


@define(frozen=True)
class _Content:
    """What one push told.

    Attributes:
        taken: when, epoch seconds.
        values: packed.
    """

    taken: float
    values: bytes


@define(eq=False)
class PushMemory:
    """Remembers pushes that were taken with success; nothing else ever enters it.

    A push is no news if another one told all that it tells. So one that was taken, or one of which it is a part, is
    known when it comes again late; one that tells more, or another value, is news.

    Attributes:
        once_within: seconds after a success in which no push that tells the same is news.
        most: calls, and signatures, that are remembered.
        most_values: values of calls that are.
    """

    once_within: float
    most: int = MOST_REMEMBERED
    most_values: int = MOST_VALUES
    _calls: OrderedDict[bytes, tuple[_Content, ...]] = field(factory=OrderedDict, init=False, repr=False)
    _signatures: OrderedDict[tuple[str, str], int] = field(factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._calls) + len(self._signatures)

    def knows(self, call_id: str, told: frozenset[bytes], signed: SignedHeaders | None, *, now: float) -> bool:
        """Tell whether a push is no news: it was taken already, or another one that told all this a while ago.

        Args:
            call_id: of its call.
            told: what it tells, as `told_by` gives it.
            signed: its signed headers, None if it is not signed.
            now: epoch seconds.
        """
        if signed is not None and self._is_fresh((signed.ts, signed.signature), now):
            return True
        contents = self._calls.get(_digest(call_id), ())
        return any(self._is_lately(content, now) and told <= unpacked(content.values) for content in contents)

    def take(self, call_id: str, told: frozenset[bytes], signed: SignedHeaders | None, *, now: float) -> None:
        """Remember a push that was taken with success; the arguments are those of `knows`."""
        self._forget(now)
        if signed is not None:
            self._signatures[signed.ts, signed.signature] = int(signed.ts)
            self._signatures.move_to_end((signed.ts, signed.signature))
        if self.once_within > 0:
            self._take_content(_digest(call_id), told, now)
        while len(self._signatures) > self.most:
            self._signatures.popitem(last=False)
        while len(self._calls) > self.most or self._bytes > self.most_values * BYTES_A_VALUE:
            self._forget_oldest_call()

    def _take_content(self, key: bytes, told: frozenset[bytes], now: float) -> None:
        before = self._calls.pop(key, ())
        others = [old for old in before if self._is_lately(old, now) and not unpacked(old.values) <= told]
        self._calls[key] = (*others[1 - MOST_OF_A_CALL :], _Content(now, packed(told)))
        self._bytes += _size(self._calls[key]) - _size(before)

    def _is_lately(self, content: _Content, now: float) -> bool:
        # A clock that was set back a little must not make a call news again, and one set back far not hide it for long.
        return abs(now - content.taken) < self.once_within

    def _is_fresh(self, key: tuple[str, str], now: float) -> bool:
        """Tell whether a signature was taken, and its timestamp could still be accepted."""
        ts = self._signatures.get(key)
        return ts is not None and abs(int(now * 1000) - ts) <= ALLOWED_SKEW_MS

    def _forget(self, now: float) -> None:
        """Forget what is over, the oldest first.

        A signature is over once its timestamp is too old; one ahead of a clock that was set back counts again later.
        """
        while self._calls and not self._is_lately(next(iter(self._calls.values()))[-1], now):
            self._forget_oldest_call()
        while self._signatures and int(now * 1000) - next(iter(self._signatures.values())) > ALLOWED_SKEW_MS:
            self._signatures.popitem(last=False)

    def _forget_oldest_call(self) -> None:
        _, contents = self._calls.popitem(last=False)
        self._bytes -= _size(contents)


def _digest(call_id: str) -> bytes:
    """Return what stands for an id, which may be as long as a push."""
    return blake2b(call_id.encode(), digest_size=16).digest()


def _size(contents: tuple[_Content, ...]) -> int:
    return sum(len(content.values) for content in contents)


@define(eq=False)
class _CallLock:
    lock: anyio.Lock = field(factory=anyio.Lock)
    wanted_by: int = 0


@define(eq=False)
class CallLocks:
    """Locks by the id of a call, each there as long as a push wants it.

    Each event loop has locks of its own: one that ended while it held some must not block the next one for ever.
    """

    _locks: RunVar[dict[str, _CallLock]] = field(factory=lambda: RunVar("locks of calls"), init=False, repr=False)

    @asynccontextmanager
    async def held(self, call_id: str, *, patience: float) -> AsyncIterator[None]:
        """Wait for the lock of a call, and hold it.

        Args:
            call_id: of the call.
            patience: seconds to wait.

        Raises:
            TimeoutError: others held it for longer.
        """
        locks = self._here()
        this = locks.setdefault(call_id, _CallLock())
        this.wanted_by += 1
        try:
            with fail_after(patience):
                await this.lock.acquire()
            try:
                yield
            finally:
                this.lock.release()
        finally:
            this.wanted_by -= 1
            if not this.wanted_by:
                del locks[call_id]

    def _here(self) -> dict[str, _CallLock]:
        locks = self._locks.get(None)
        if locks is None:
            locks = {}
            self._locks.set(locks)
        return locks


BYTES_A_VALUE = 8
"""Of what stands for a value: enough that no two values of one call are taken for each other by chance."""

_encode = json.JSONEncoder(sort_keys=True, default=str).encode


def told_by(call: CallRecord) -> frozenset[bytes]:
    """Return what stands for the values that a call has; two calls that tell the same have the same."""
    return frozenset(_digest_of(place, value) for place, value in _values(call) if value is not None)


def packed(told: frozenset[bytes]) -> bytes:
    """Return what was told in as little memory as it takes."""
    return b"".join(told)


def unpacked(told: bytes) -> frozenset[bytes]:
    """Return what was packed."""
    return frozenset(told[start : start + BYTES_A_VALUE] for start in range(0, len(told), BYTES_A_VALUE))


def _values(call: CallRecord) -> Iterator[tuple[list[str], Any]]:
    for attribute in fields(CallRecord):
        if attribute.name != "extra":
            yield [attribute.name], getattr(call, attribute.name)
    for key, value in call.extra.items():
        yield ["extra", key], value


def _digest_of(place: list[str], value: Any) -> bytes:
    return blake2b(_encode([place, value]).encode(), digest_size=BYTES_A_VALUE).digest()
