"""Whether the pages of a window are complete: which came, which to request next, and what they prove. Pure."""

from collections.abc import Hashable
from enum import Enum, auto
from itertools import chain
from typing import Any

from attrs import define, field


class Verdict(Enum):
    """What the pages of a window prove."""

    OPEN = auto()
    """Every page was full: more must follow."""
    UNCONFIRMED = auto()
    """The last page has to be requested again, now that all others are there."""
    COMPLETE = auto()
    """Every row that was there at the start is there."""
    MOVED = auto()
    """Rows moved between pages that were read out of order: all have to be read again, in order."""
    REPEATING = auto()
    """A full page, read in order, has nothing new: page numbers are ignored, or the last page comes for ever."""


@define(eq=False)
class CompletenessCheck:
    """The pages of one window, requested from the first one up, of which several may be under way at once.

    Pages read in order, each after the one before it, cannot lose a row that was there at the start: rows that arrive
    only push others to later pages. Out of order, a later page may be read before a row is pushed onto it, and the page
    before it after that row has left. Then some other row stands on two pages, or the last page has changed by the time
    all others are there. So pages read out of order are complete if all ids are different and the last page was
    requested, or requested again, after all others came. For example, of pages [a b] [c d] [e], page 3 comes first;
    then x arrives before d, and page 2 comes as [c x]: d is on neither, but page 3, requested again, is [d e].

    All this holds as long as rows only arrive: a gateway that withdraws rows during the reading may hide one.

    Attributes:
        is_sequential: whether each page is requested only after all before it came.
        asked: the number of the page requested last.
        last: the number of the first page that was not full, once it came.
    """

    is_sequential: bool = False
    asked: int = field(default=0, init=False)
    last: int | None = field(default=None, init=False)
    _keys: dict[int, list[Hashable]] = field(factory=dict, init=False)
    _rows_without_ids: dict[int, list[Any]] = field(factory=dict, init=False)
    _asked_in_order: set[int] = field(factory=set, init=False)
    _known: set[Hashable] = field(factory=set, init=False)
    _was_sequential: bool = field(default=True, init=False)
    _repeats: bool = field(default=False, init=False)
    _has_moved: bool = field(default=False, init=False)

    @property
    def is_waiting(self) -> bool:
        """Whether a page is under way."""
        return len(self._keys) < self.asked

    @property
    def is_gathered(self) -> bool:
        """Whether every page up to the last one is there; pages requested after it prove nothing."""
        return all(number in self._keys for number in range(1, (self.last or self.asked) + 1))

    @property
    def is_at_end(self) -> bool:
        """Whether no further page is worth requesting."""
        return self.last is not None or self._repeats or self._has_moved

    def pages_to_ask(self, *, ahead: int) -> int:
        """Return how many of the pages after `asked` may be requested now.

        Args:
            ahead: pages up to this number may be requested before those before them came.
        """
        if self.is_at_end:
            return 0
        in_order = 0 if self.is_waiting else 1
        return in_order if self.is_sequential else max(in_order, ahead - self.asked)

    def note_asked(self, number: int) -> None:
        """Note that the next page is requested."""
        self.asked = number
        if len(self._keys) == number - 1:
            self._asked_in_order.add(number)
        else:
            self._was_sequential = False

    @property
    def end(self) -> int:
        """The number of the last page with new rows, before an empty or repeating one; 0 before any."""
        if self._repeats:
            return self.asked - 1
        last = self.last or self.asked
        return last - 1 if last > 1 and not self._keys[last] else last

    @property
    def depth(self) -> int:
        """How many rows the pages up to `end` have."""
        return sum(self.rows_on(number) for number in range(1, self.end + 1))

    @property
    def keys_on_end(self) -> list[Hashable]:
        """The ids of the rows on the page `end`."""
        return self._keys[self.end]

    def rows_on(self, number: int) -> int:
        """Return how many rows a page that came has."""
        return len(self._keys[number])

    @property
    def known(self) -> set[Hashable]:
        """The ids of all rows that came."""
        return self._known

    def was_asked_in_order(self, number: int) -> bool:
        """Return whether all pages before this one were there when it was requested."""
        return number in self._asked_in_order

    def add_page(self, number: int, rows: list[Any], keys: list[Hashable], *, is_full: bool) -> None:
        """Add a page that came, with the ids of its rows (None without one)."""
        known_before = len(self._known)
        self._known.update(keys)
        count_of_new = len(self._known) - known_before
        if not is_full:
            self.last = min(number, self.last or number)
        elif not count_of_new and (None not in keys or self._rows_without_ids.get(number - 1) == rows):
            self._repeats = True
        elif not self._was_sequential and count_of_new < len(keys):
            # A row that stood on a page before, or twice on this one.
            self._has_moved = True
        self._keep(number, rows, keys)

    def confirm(self, rows: list[Any], keys: list[Hashable], *, is_full: bool) -> None:
        """Replace the last page by what came for it once all others were there."""
        last = self.last or self.asked
        before = self._keys[last]
        if is_full:
            # More rows arrived, or the answer had been cut short: go on from here, in order.
            self._keys = {number: page for number, page in self._keys.items() if number < last}
            self._known = set(chain.from_iterable(self._keys.values())).union(keys)
            self.asked, self.last, self.is_sequential = last, None, True
        else:
            self._has_moved = self._has_moved or keys[: len(before)] != before
        self._keep(last, rows, keys)
        self._asked_in_order.add(last)

    def verdict(self) -> Verdict:
        """Return what the pages prove, once none is under way."""
        if self._repeats:
            return Verdict.REPEATING if self._was_sequential else Verdict.MOVED
        if self._has_moved and not self._was_sequential:
            return Verdict.MOVED
        if self.last is None:
            return Verdict.OPEN
        if self.last not in self._asked_in_order:
            return Verdict.UNCONFIRMED
        return Verdict.COMPLETE if self._was_sequential or self._is_consistent(self.last) else Verdict.MOVED

    def _keep(self, number: int, rows: list[Any], keys: list[Hashable]) -> None:
        self._keys[number] = keys
        self._rows_without_ids[number] = rows if None in keys else []  # else the ids tell them apart

    def _is_consistent(self, last: int) -> bool:
        """Return whether no row stands on two pages, and none but its own after the last, which may be repeated."""
        on_last = set(self._keys[last])
        rows = 0
        for number, keys in self._keys.items():
            if number > last and not on_last.issuperset(keys):
                return False
            rows += len(keys) if number <= last else 0
        new_keys = on_last - self._known
        return None not in self._known and None not in new_keys and len(self._known) + len(new_keys) == rows
