"""When calls arrive: an exact number of arrivals spread over minutes, none of which is stored.

They may go on as often after that, for a live tenant.

Only one number a minute is stored (how many arrived before it); the n-th arrival and its random numbers are computed
from the seed when asked for, so a year of 100,000 calls a day takes four megabytes.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from operator import mul

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
WEEK_MINUTES = 7 * DAY_MINUTES
LOCAL_MINUTES = 8 * 60
"""The vendor's local time is UTC+8."""

# Arrivals by hour of a working day: a slow start, two busy stretches around a lunch dip, quiet nights.
_HOURS = (3, 2, 1, 1, 1, 2, 6, 18, 55, 92, 100, 84, 46, 58, 94, 97, 88, 70, 42, 31, 26, 20, 12, 6)
_DAYS = (106, 100, 98, 97, 102, 38, 24)  # Monday to Sunday
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday

_MINUTE_NOISE = tuple((40 + byte) * (3 if byte > 250 else 1) for byte in range(256))  # noqa: PLR2004 - 2 % are bursts

_pack = struct.Struct("<QQ").pack
_unpack = struct.Struct("<24H").unpack


def _week() -> list[int]:
    """Return one weight a minute from Monday 00:00 local time, straight lines between the hours."""
    return [
        1 + _DAYS[day] * (_HOURS[hour] * (60 - minute) + _HOURS[(hour + 1) % 24] * minute) // 60
        for day in range(7)
        for hour in range(24)
        for minute in range(60)
    ]


_WEEK = _week()
_WEEK_TWICE = _WEEK * 2
_BUSIEST = max(_WEEK)


class Arrivals:
    """Exactly `in_days` arrivals over whole days, addressed by their rank: 0 is the earliest.

    Args:
        in_days: how many arrivals there are in the days.
        first_ms: epoch milliseconds of the first day's start; a whole hour.
        days: length in days.
        seed: tells histories apart; the same seed gives the same arrivals on every machine.
        days_after: for how many days they go on after that, as often as before.
        steady: from which epoch milliseconds on so many arrive each minute instead, day and night.
    """

    def __init__(
        self,
        in_days: int,
        *,
        first_ms: int,
        days: int,
        seed: str,
        days_after: int = 0,
        steady: tuple[int, float] | None = None,
    ) -> None:
        self._in_days, self._counted = in_days, days * DAY_MINUTES
        self._steady = steady
        self.first_ms = first_ms
        self.minutes = (days + days_after) * DAY_MINUTES
        self.end_ms = first_ms + self.minutes * MINUTE_MS
        self._salt = blake2b(seed.encode(), digest_size=16).digest()
        self._week_offset = (first_ms // MINUTE_MS + LOCAL_MINUTES + _EPOCH_WEEKDAY * DAY_MINUTES) % WEEK_MINUTES

    @property
    def total(self) -> int:
        """How many arrivals there are in all."""
        return self._in_days if self.minutes == self._counted else self._before[-1]

    @cached_property
    def _before(self) -> "array[int]":
        """How many arrivals are earlier than each minute, and than the end.

        Computed when it is first needed, so that a test of calls does not wait for DID and flash calls.
        """
        weights = array("Q", accumulate(self._weights()))
        before = array("Q", [0])
        # Differences of one floored running total always sum to the total itself.
        whole = weights[self._counted - 1]
        before.extend(self._in_days * weight // whole for weight in weights)
        if self._steady is not None:
            steady_ms, a_minute = self._steady
            first = min(max(0, (steady_ms - self.first_ms) // MINUTE_MS), self.minutes)
            for minute in range(first, self.minutes):
                before[minute + 1] = before[first] + int(a_minute * (minute + 1 - first))
        return before

    def _weights(self) -> Iterator[int]:
        for hour in range(self.minutes // 60):
            noise = blake2b(_pack(hour, 2**64 - 1), salt=self._salt).digest()[:60]
            offset = (self._week_offset + 60 * hour) % WEEK_MINUTES
            yield from map(mul, _WEEK_TWICE[offset : offset + 60], map(_MINUTE_NOISE.__getitem__, noise))

    def load(self, minute: int) -> int:
        """Return how busy this minute of the week usually is, 0 to 100."""
        return 100 * _WEEK_TWICE[(self._week_offset + minute) % WEEK_MINUTES] // _BUSIEST

    def at(self, rank: int) -> tuple[int, int, tuple[int, ...]]:
        """Return an arrival's minute (from `first_ms`), its epoch milliseconds, and 24 random 16-bit numbers."""
        before = self._before
        minute = bisect_right(before, rank) - 1
        first = before[minute]
        index = rank - first
        chance = _unpack(blake2b(_pack(minute, index), digest_size=48, salt=self._salt).digest())
        # One slice of the minute each, so that ranks and times rise together.
        offset = ((index << 16) + chance[0]) * MINUTE_MS // ((before[minute + 1] - first) << 16)
        if minute % 97 == 5:  # noqa: PLR2004 - now and then a line counts whole seconds, so times coincide
            offset -= offset % 1000
        return minute, self.first_ms + minute * MINUTE_MS + offset, chance

    def start_ms(self, rank: int) -> int:
        """Return the epoch milliseconds of an arrival."""
        return self.at(rank)[1]

    def rank_at(self, moment_ms: int) -> int:
        """Return how many arrivals are earlier than a moment, which is the rank of the first that is not."""
        minute = (moment_ms - self.first_ms) // MINUTE_MS
        if minute < 0:
            return 0
        if minute >= self.minutes:
            return self.total
        first, last = self._before[minute], self._before[minute + 1]
        return first + bisect_left(range(first, last), moment_ms, key=self.start_ms)
