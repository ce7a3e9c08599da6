"""Which pushes say nothing new: those accepted lately are remembered, and one push of a call is handled at a time."""

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
from nxcdr_async.protocol.signed_headers import ALLOWED_SKEW_MS, SignedHeaders
from nxcdr_async.records.models import CallRecord

MOST_REMEMBERED = 100_000
"""Calls, and signatures, that are remembered at most; the oldest are forgotten first."""

MOST_VALUES = 3_000_000
"""Values of calls that are remembered at most, in some 24 MB; the oldest calls are forgotten first."""

MOST_PUSHES_OF_A_CALL = 100
"""Pushes of one call that are remembered at most: each new one is compared with them all."""

BYTES_A_VALUE = 8
"""Bytes of the digest of a value: enough that no two values of one call are confused by chance."""

_encode = json.JSONEncoder(sort_keys=True, default=str).encode


def value_digests(call: CallRecord) -> frozenset[bytes]:
    """Return a digest of each value that a call has; calls with the same values have the same digests."""
    return frozenset(_digest_of(place, value) for place, value in _values(call) if value is not None)


@define(frozen=True)
class _AcceptedPush:
    """When a push was accepted (epoch seconds), and the digests of its values, packed."""

    accepted_at: float
    digests: bytes


@define(eq=False)
class SeenPushes:
    """Remembers the pushes that were accepted; no other push ever enters it.

    A push says nothing new if all its values were in one that was accepted. So a push that comes again late, or has a
    part of the values of another, is recognized; one with more values, or another value, is new.

    Attributes:
        once_within: seconds after it was accepted in which a push makes others with the same values nothing new.
        most: calls, and signatures, that are remembered.
        most_values: values of calls that are remembered.
    """

    once_within: float
    most: int = MOST_REMEMBERED
    most_values: int = MOST_VALUES
    _calls: OrderedDict[bytes, tuple[_AcceptedPush, ...]] = field(factory=OrderedDict, init=False, repr=False)
    _signatures: OrderedDict[tuple[str, str], int] = field(factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._calls) + len(self._signatures)

    def contains(self, call_id: str, digests: frozenset[bytes], signed: SignedHeaders | None, *, now: float) -> bool:
        """Return whether a push, or one with all its values, was accepted lately.

        Args:
            call_id: of its call.
            digests: of its values, see `value_digests`.
            signed: its signed headers, None if it is not signed.
            now: epoch seconds.
        """
        if signed is not None and self._is_fresh((signed.ts, signed.signature), now):
            return True
        accepted = self._calls.get(_digest_of_id(call_id), ())
        return any(self._is_recent(push, now) and digests <= _unpacked(push.digests) for push in accepted)

    def add(self, call_id: str, digests: frozenset[bytes], signed: SignedHeaders | None, *, now: float) -> None:
        """Remember a push that was accepted; the arguments are those of `contains`."""
        self._forget(now)
        if signed is not None:
            self._signatures[signed.ts, signed.signature] = int(signed.ts)
            self._signatures.move_to_end((signed.ts, signed.signature))
        if self.once_within > 0:
            self._add_digests(_digest_of_id(call_id), digests, now)
        while len(self._signatures) > self.most:
            self._signatures.popitem(last=False)
        while len(self._calls) > self.most or self._bytes > self.most_values * BYTES_A_VALUE:
            self._forget_oldest_call()

    def _add_digests(self, key: bytes, digests: frozenset[bytes], now: float) -> None:
        before = self._calls.pop(key, ())
        others = [old for old in before if self._is_recent(old, now) and not _unpacked(old.digests) <= digests]
        self._calls[key] = (*others[1 - MOST_PUSHES_OF_A_CALL :], _AcceptedPush(now, b"".join(digests)))
        self._bytes += _size(self._calls[key]) - _size(before)

    def _is_recent(self, push: _AcceptedPush, now: float) -> bool:
        # A clock that was set back a little must not make a call new again, and one set back far not hide it for long.
        return abs(now - push.accepted_at) < self.once_within

    def _is_fresh(self, key: tuple[str, str], now: float) -> bool:
        """Return whether a signature was accepted, and its timestamp could still be."""
        ts = self._signatures.get(key)
        return ts is not None and abs(int(now * 1000) - ts) <= ALLOWED_SKEW_MS

    def _forget(self, now: float) -> None:
        """Forget what is over, the oldest first.

        A signature is over once its timestamp is too old; one ahead of a clock that was set back counts again later.
        """
        while self._calls and not self._is_recent(next(iter(self._calls.values()))[-1], now):
            self._forget_oldest_call()
        while self._signatures and int(now * 1000) - next(iter(self._signatures.values())) > ALLOWED_SKEW_MS:
            self._signatures.popitem(last=False)

    def _forget_oldest_call(self) -> None:
        _, accepted = self._calls.popitem(last=False)
        self._bytes -= _size(accepted)


def _digest_of_id(call_id: str) -> bytes:
    """Return a digest of an id, which may be as long as a push."""
    return blake2b(call_id.encode(), digest_size=16).digest()


def _size(accepted: tuple[_AcceptedPush, ...]) -> int:
    return sum(len(push.digests) for push in accepted)


def _unpacked(packed: bytes) -> frozenset[bytes]:
    return frozenset(packed[start : start + BYTES_A_VALUE] for start in range(0, len(packed), BYTES_A_VALUE))


def _values(call: CallRecord) -> Iterator[tuple[list[str], Any]]:
    for attribute in fields(CallRecord):
        if attribute.name != "extra":
            yield [attribute.name], getattr(call, attribute.name)
    for key, value in call.extra.items():
        yield ["extra", key], value


def _digest_of(place: list[str], value: Any) -> bytes:
    return blake2b(_encode([place, value]).encode(), digest_size=BYTES_A_VALUE).digest()


@define(eq=False)
class _CallLock:
    lock: anyio.Lock = field(factory=anyio.Lock)
    waiting_or_holding: int = 0


@define(eq=False)
class CallLocks:
    """Locks by the id of a call, each there as long as a push needs it.

    Each event loop has locks of its own: one that ended with some locked must not block the next one for ever.
    """

    _locks: RunVar[dict[str, _CallLock]] = field(factory=lambda: RunVar("locks of calls"), init=False, repr=False)

    @asynccontextmanager
    async def hold(self, call_id: str, *, wait: float) -> AsyncIterator[None]:
        """Acquire the lock of a call, waiting at most so many seconds, and release it when left.

        Raises:
            TimeoutError: others had it for longer.
        """
        locks = self._of_this_loop()
        this = locks.setdefault(call_id, _CallLock())
        this.waiting_or_holding += 1
        try:
            with fail_after(wait):
                await this.lock.acquire()
            try:
                yield
            finally:
                this.lock.release()
        finally:
            this.waiting_or_holding -= 1
            if not this.waiting_or_holding:
                del locks[call_id]

    def _of_this_loop(self) -> dict[str, _CallLock]:
        locks = self._locks.get(None)
        if locks is None:
            locks = {}
            self._locks.set(locks)
        return locks
