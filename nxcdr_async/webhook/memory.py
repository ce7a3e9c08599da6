"""What pushes were taken lately: the very same ones that come again, and others that tell nothing new. Pure."""

from collections import OrderedDict
from hashlib import blake2b

from attrs import define, field

from nxcdr_async.webhook.told import BYTES_A_VALUE, packed, unpacked
from nxcdr_async.wire import ALLOWED_SKEW_MS, SignedHeaders

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
