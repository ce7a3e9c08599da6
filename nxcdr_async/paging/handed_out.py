"""Which records were handed out already: six bytes for each of them, in memory and in a position. Pure."""

from base64 import b64decode, b64encode
from hashlib import blake2b
from struct import Struct
from typing import Self

from attrs import define, field

MINUTE_MS = 60_000
_DIGEST = 6
"""Bytes an id is known by, among those of one minute: the chance that a record is taken for another is that of one in
a hundred billion where a minute has a thousand."""

_HEAD = Struct(">II")


def digest_of(identity: str, start_ms: float, occurrence: int) -> bytes:
    """Return what a record is known by.

    Args:
        identity: its id.
        start_ms: when it starts, epoch milliseconds.
        occurrence: how many with this id and start came before it in one answer.
    """
    text = f"{identity}\0{start_ms:.0f}\0{occurrence}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


@define(eq=False)
class HandedOut:
    """The records that were handed out, by minutes of their time, until they are forgotten.

    It takes six bytes a record, and some hundred for each minute that has any.
    """

    _minutes: dict[int, bytearray] = field(factory=dict, init=False)

    def has(self, moment_ms: float, digest: bytes) -> bool:
        """Return whether a record of a moment (epoch milliseconds) was handed out."""
        known = self._minutes.get(int(moment_ms // MINUTE_MS), b"")
        place = known.find(digest)
        while place >= 0 and place % _DIGEST:  # the end of one and the beginning of the next
            place = known.find(digest, place + 1)
        return place >= 0

    def add(self, moment_ms: float, digest: bytes) -> None:
        """Remember a record that was handed out."""
        self._minutes.setdefault(int(moment_ms // MINUTE_MS), bytearray()).extend(digest)

    def forget(self, before: int) -> None:
        """Forget the records of all minutes that end before a moment (epoch seconds)."""
        first = before * 1000 // MINUTE_MS
        for minute in [minute for minute in self._minutes if minute < first]:
            del self._minutes[minute]

    def __len__(self) -> int:
        return sum(map(len, self._minutes.values())) // _DIGEST

    def text(self) -> str:
        """Return all of it as text."""
        parts = [_HEAD.pack(minute, len(known) // _DIGEST) + known for minute, known in sorted(self._minutes.items())]
        return b64encode(b"".join(parts)).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what a text says.

        Raises:
            ValueError: it is no such text.
        """
        made, left = cls(), b64decode(text, validate=True)
        while left:
            if len(left) < _HEAD.size:
                raise ValueError("it is cut off")
            minute, count = _HEAD.unpack_from(left)
            known = left[_HEAD.size : _HEAD.size + count * _DIGEST]
            if len(known) < count * _DIGEST:
                raise ValueError("it is cut off")
            made._minutes[minute] = bytearray(known)
            left = left[_HEAD.size + len(known) :]
        return made
