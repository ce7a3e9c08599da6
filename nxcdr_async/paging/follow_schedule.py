"""When to read which range again while records are followed: the newest each round, older ones ever more seldom. Pure.

All times are epoch seconds by the gateway's clock.
"""

from itertools import pairwise
from typing import Self

from attrs import define, field

from nxcdr_async.lateness import next_look
from nxcdr_async.windows import Window

FIRST_REACH = 600
"""Seconds that each round reaches back: a call shows up once it is over, and most are over within ten minutes."""

SETTLED_LOOKS = 4
"""How many times in the time to settle everything that is open is read."""


@define(frozen=True)
class Level:
    """One of the ranges that are read regularly.

    Attributes:
        reach: seconds it reaches back behind its last reading, so that no row is missed that is at most so late.
        interval: seconds from one reading to the next.
    """

    reach: int
    interval: int


def levels_of(every: int, settle: int) -> tuple[Level, ...]:
    """Return the levels: each reaches further back than the one before, and is read once a row is twice as late.

    Args:
        every: seconds from one round to the next.
        settle: seconds after which no row turns up any more.
    """
    first = min(settle, max(FIRST_REACH, every))
    reaches: list[int] = [first]
    while reaches[-1] < settle and reaches[-1] * SETTLED_LOOKS < settle:
        reaches.append(int(next_look(reaches[-1], settle=settle)))
    levels = [Level(first, every), *(Level(reach, max(every, before)) for before, reach in pairwise(reaches))]
    if reaches[-1] < settle:
        levels.append(Level(settle, max(every, settle // SETTLED_LOOKS)))
    return tuple(levels)


@define(eq=False)
class FollowSchedule:
    """What of the past was read when, and so what is to be read next.

    Attributes:
        every: seconds from one round to the next.
        settle: seconds after which no row turns up any more.
        closed_until: all before it has settled and is never read again.
        read_until: all before it was read at least once.
    """

    every: int
    settle: int
    closed_until: int
    read_until: int
    levels: tuple[Level, ...] = field(init=False)
    _read_at: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.levels = levels_of(self.every, self.settle)
        # All that is open was read whole when that settled before which all is closed.
        self._read_at = [min(self.read_until, self.closed_until + self.settle)] * len(self.levels)

    @classmethod
    def since(cls, moment: int, every: int, settle: int) -> Self:
        """Return the schedule of all that happens from a moment on."""
        return cls(every, settle, moment, moment)

    def newest(self, now: int, end: int) -> Window:
        """Return what a round begins with: from what was not read yet, or lately, to an end that is not before now."""
        self._set_back(now)
        start = max(self.closed_until, min(self.read_until, self._start_of(0)))
        return Window(start, max(end, start + 1))

    def older(self, now: int, end: int) -> tuple[Window, int] | None:
        """Return what is due before a moment that was read to now already, and its level; None if nothing is."""
        due = [
            number
            for number, (level, read_at) in enumerate(zip(self.levels, self._read_at, strict=True))
            if now - read_at >= level.interval - self.every // 2
        ]
        start = min((self._start_of(number) for number in due), default=end)
        return (Window(start, end), max(due)) if start < end else None

    def note_progress(self, window: Window, until: int, began: int) -> None:
        """Note up to when a reading of a window, that began at some time, is complete."""
        reached = min(until, window.end, began)
        if window.start <= self.read_until:
            self.read_until = max(self.read_until, reached)
        if window.start <= self.closed_until:
            self.closed_until = max(self.closed_until, min(reached, began - self.settle))

    def note_newest(self, window: Window, began: int) -> None:
        """Note that what a round begins with was read whole."""
        covered = [number for number in range(len(self.levels)) if self._start_of(number) >= window.start]
        self.note_progress(window, window.end, began)
        for number in covered:
            self._read_at[number] = began

    def note_older(self, window: Window, level: int, began: int) -> None:
        """Note that what was due of a level was read whole."""
        self.note_progress(window, window.end, began)
        self._read_at[: level + 1] = [max(read_at, began) for read_at in self._read_at[: level + 1]]

    def _start_of(self, number: int) -> int:
        """Return from when on a level is to be read: what was not there at its last reading cannot be older."""
        return max(self.closed_until, self._read_at[number] - self.levels[number].reach)

    def _set_back(self, now: int) -> None:
        """Take nothing for read that has yet to come: the clock was ahead, and was set."""
        self.closed_until, self.read_until = min(self.closed_until, now), min(self.read_until, now)
        self._read_at = [min(read_at, now) for read_at in self._read_at]
