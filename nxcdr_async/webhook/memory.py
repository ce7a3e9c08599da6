"""What pushes were taken lately: the very same ones that come again, and other pushes of the same call. Pure."""

from collections import OrderedDict
from hashlib import blake2b
from typing import TypeVar

from attrs import define, field

from nxcdr_async.wire import ALLOWED_SKEW_MS, SignedHeaders

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

MOST_REMEMBERED = 100_000
"""Calls, and signatures, that are remembered at most; the oldest are forgotten first."""


@define(eq=False)
class PushMemory:
    """Remembers pushes that were taken with success; nothing else ever enters it.

    Attributes:
        once_within: seconds after a success in which no other push of the same call is news.
        most: calls, and signatures, that are remembered.
    """

    once_within: float
    most: int = MOST_REMEMBERED
    _calls: OrderedDict[bytes, float] = field(factory=OrderedDict, init=False, repr=False)
    _signatures: OrderedDict[tuple[str, str], int] = field(factory=OrderedDict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._calls) + len(self._signatures)

    def knows(self, call_id: str, signed: SignedHeaders | None, *, now: float) -> bool:
        """Tell whether a push is no news: it was taken already, or another one of its call was a while ago.

        Args:
            call_id: of its call.
            signed: its signed headers, None if it is not signed.
            now: epoch seconds.
        """
        if signed is not None and self._is_fresh((signed.ts, signed.signature), now):
            return True
        taken = self._calls.get(_digest(call_id))
        return taken is not None and self._is_lately(taken, now)

    def take(self, call_id: str, signed: SignedHeaders | None, *, now: float) -> None:
        """Remember a push that was taken with success; the arguments are those of `knows`."""
        self._forget(now)
        if signed is not None:
            _put(self._signatures, (signed.ts, signed.signature), int(signed.ts), self.most)
        if self.once_within > 0:
            _put(self._calls, _digest(call_id), now, self.most)

    def _is_lately(self, taken: float, now: float) -> bool:
        # A clock that was set back a little must not make a call news again, and one set back far not hide it for long.
        return abs(now - taken) < self.once_within

    def _is_fresh(self, key: tuple[str, str], now: float) -> bool:
        """Tell whether a signature was taken, and its timestamp could still be accepted."""
        ts = self._signatures.get(key)
        return ts is not None and abs(int(now * 1000) - ts) <= ALLOWED_SKEW_MS

    def _forget(self, now: float) -> None:
        """Forget what is over, the oldest first.

        A signature is over once its timestamp is too old; one ahead of a clock that was set back counts again later.
        """
        while self._calls and not self._is_lately(next(iter(self._calls.values())), now):
            self._calls.popitem(last=False)
        while self._signatures and int(now * 1000) - next(iter(self._signatures.values())) > ALLOWED_SKEW_MS:
            self._signatures.popitem(last=False)


def _digest(call_id: str) -> bytes:
    """Return what stands for an id, which may be as long as a push."""
    return blake2b(call_id.encode(), digest_size=16).digest()


def _put(memory: OrderedDict[KeyT, ValueT], key: KeyT, value: ValueT, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > most:
        memory.popitem(last=False)
