"""Which parts of a range a run has to read. Pure."""

from bisect import bisect_left
from collections.abc import Iterable

from attrs import define

from nxcdr_async.sinks.ledger import LedgerEntry
from nxcdr_async.windows import Window


@define(frozen=True)
class ReadRange:
    """A part of the range that is to be read in one go.

    Attributes:
        window: the part.
        rigid: windows in it that were read before, in order of time; each is read again whole, alone or with others.
        ends: moments in it at which a window has to end, in order of time.
    """

    window: Window
    rigid: tuple[Window, ...] = ()
    ends: tuple[int, ...] = ()

    def floor(self, moment: int) -> int:
        """Return the last moment up to a given one at which this reading may be cut."""
        place = bisect_left(self.rigid, moment, key=lambda window: window.end)
        if place < len(self.rigid) and self.rigid[place].start < moment < self.rigid[place].end:
            return self.rigid[place].start
        return moment


def read_ranges_of(missing: Iterable[Window], again: Iterable[LedgerEntry]) -> list[ReadRange]:
    """Join parts that were never read, and entries to read again, where they touch each other."""
    parts = sorted([(part, False) for part in missing] + [(entry.window, True) for entry in again])
    joined: list[list[tuple[Window, bool]]] = []
    for part in parts:
        if joined and joined[-1][-1][0].end == part[0].start:
            joined[-1].append(part)
        else:
            joined.append([part])
    return [
        ReadRange(
            Window(group[0][0].start, group[-1][0].end),
            tuple(window for window, was_read in group if was_read),
        )
        for group in joined
    ]
