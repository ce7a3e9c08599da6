"""What has to be asked to prove that the end of an answer is the end of the data. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum, auto
from itertools import pairwise

from attrs import define

from nxcdr_async.windows import Window


class End(Enum):
    """What is known of the end of an answer."""

    PROVEN = auto()
    """Nothing lies behind it."""
    CAPPED = auto()
    """There are rows behind it that no page shows."""
    CROWDED = auto()
    """Nothing is proven, as so many rows start where it ends, or in one second: narrower windows have to tell."""


@define(frozen=True)
class Part:
    """A part of a window, and how many rows it holds if the whole window shows all.

    Attributes:
        window: the part.
        fewest: rows it holds at least.
        most: rows it holds at most; it may be more than `fewest`, as no document says which ends of a range count.
    """

    window: Window
    fewest: int
    most: int

    def page_number(self, rows_a_page: int) -> int:
        """Return the page on which it has to end."""
        return self.fewest // rows_a_page + 1

    def ends_with(self, rows: int, rows_a_page: int) -> bool:
        """Tell whether so many rows on that page are as many as it may have."""
        count = (self.page_number(rows_a_page) - 1) * rows_a_page + rows
        return rows < rows_a_page and self.fewest <= count <= self.most


def rest_of(window: Window, starts: Sequence[float]) -> Window | None:
    """Return the part of a window that an answer in order of time may have left out, with the last second it showed.

    Args:
        window: what was asked for.
        starts: when its calls start (epoch seconds), in the order they came.

    Returns:
        None if they came in no order, or the part would be the whole window.
    """
    if all(before <= after for before, after in pairwise(starts)):
        rest = Window(min(max(window.start, math.floor(starts[-1])), window.end - 1), window.end)
    elif all(before >= after for before, after in pairwise(starts)):
        rest = Window(window.start, max(min(window.end, math.floor(starts[-1]) + 1), window.start + 1))
    else:
        return None
    return None if rest == window else rest


def halves_of(window: Window, starts: Sequence[float]) -> list[Part]:
    """Return two parts of a window, cut where few calls start, for their numbers to be told one by one.

    Args:
        window: what was asked for, wider than a second.
        starts: when its calls start (epoch seconds), in any order.
    """
    known = sorted(starts)
    middle = known[len(known) // 4 : 3 * len(known) // 4 + 1]

    def before(moment: int) -> int:
        return bisect_left(known, moment)

    cuts = {min(max(window.start + 1, math.floor(start) + 2), window.end - 1) for start in middle}
    cut = min(cuts, key=lambda cut: (before(cut + 1) - before(cut - 1), abs(before(cut) - len(known) // 2)))
    return [
        Part(Window(window.start, cut), before(cut), before(cut + 1)),
        Part(Window(cut, window.end), len(known) - before(cut), len(known) - before(cut - 1)),
    ]
