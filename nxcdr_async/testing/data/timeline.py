"""The rows of one API in order of time: the seeded history, and rows added to it at any time."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from math import gcd
from operator import attrgetter
from threading import Lock

from attrs import define

from nxcdr_async.testing.data.arrivals import Arrivals
from nxcdr_async.testing.data.call_rows import Row
from nxcdr_async.testing.emulator.switches import Order

RowId = str | int

_start_of = attrgetter("start_ms")


@define(frozen=True)
class AddedRow:
    """A row that was added to the seeded history.

    Attributes:
        start_ms: epoch milliseconds by which it is filtered and sorted.
        end_ms: epoch milliseconds at which the call was over.
        rank: how many rows of the history are earlier.
        row: as the vendor would send it.
    """

    start_ms: int
    end_ms: int
    rank: int
    row_id: RowId
    row: Row


class Timeline:
    """Rows in order of their time; safe to add to from any thread.

    Args:
        arrivals: when the rows of the history start.
        row: computes a row of the history from its rank.
        row_id: computes the id of a row of the history from its rank.
        end_of: reads the epoch milliseconds at which a row's call was over.
        now_ms: the epoch milliseconds up to which the history has come; None if it is all there.

    Attributes:
        changes: how often a row was changed.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        row: Callable[[int], Row],
        row_id: Callable[[int], RowId],
        end_of: Callable[[Row], int],
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.arrivals = arrivals
        self.row_id = row_id
        self.end_of = end_of
        self._now_ms = now_ms
        self.changes = 0
        self._computed = row
        self._changed: dict[int, Row] = {}
        self._added: list[AddedRow] = []
        self._lock = Lock()

    def row(self, rank: int) -> Row:
        """Return a row of the history, with what was changed in it."""
        row, changed = self._computed(rank), self._changed.get(rank)
        return row if changed is None else row | changed

    def change(self, rank: int, fields: Row) -> None:
        """Change a row of the history, which the next request shows."""
        with self._lock:
            self._changed[rank] = self._changed.get(rank, {}) | fields
            self.changes += 1

    def change_added(self, added: AddedRow, fields: Row) -> None:
        """Change a row that was added."""
        with self._lock:
            added.row.update(fields)
            self.changes += 1

    def add(self, row: Row, *, row_id: RowId, start_ms: int, end_ms: int) -> None:
        """Add one more row, which the next request finds."""
        added = AddedRow(start_ms, end_ms, self.arrivals.rank_at(start_ms), row_id, row)
        with self._lock:
            insort(self._added, added, key=_start_of)

    def added(self, from_ms: int | None = None, until_ms: int | None = None) -> list[AddedRow]:
        """Return the added rows that start in [from_ms, until_ms), earliest first."""
        with self._lock:
            first = 0 if from_ms is None else bisect_left(self._added, from_ms, key=_start_of)
            last = len(self._added) if until_ms is None else bisect_left(self._added, until_ms, key=_start_of)
            return self._added[first:last]

    def ranks(self, from_ms: int | None = None, until_ms: int | None = None) -> range:
        """Return the ranks of the history's rows that start in [from_ms, until_ms)."""
        if self._now_ms is not None:
            until_ms = self._now_ms() if until_ms is None else min(until_ms, self._now_ms())
        first = 0 if from_ms is None else self.arrivals.rank_at(from_ms)
        last = self.arrivals.total if until_ms is None else self.arrivals.rank_at(until_ms)
        return range(first, max(first, last))

    def ids(self, from_ms: int | None = None, until_ms: int | None = None) -> list[RowId]:
        """Return the ids of all rows that start in [from_ms, until_ms), earliest first."""
        listing = Listing(self, self.ranks(from_ms, until_ms), self.added(from_ms, until_ms))
        return [
            found.row_id if isinstance(found, AddedRow) else self.row_id(found)
            for found in map(listing.at, range(len(listing)))
        ]

    def rows(self, from_ms: int | None = None, until_ms: int | None = None) -> Iterator[Row]:
        """Iterate over the rows that start in [from_ms, until_ms), earliest first."""
        listing = Listing(self, self.ranks(from_ms, until_ms), self.added(from_ms, until_ms))
        for position in range(len(listing)):
            yield from listing.rows(position, position + 1)


class Listing:
    """The rows that one request found, in the order of the switches; computes only those it is asked for.

    Args:
        timeline: where the rows come from.
        ranks: the rows of the history that belong to it, ascending.
        added: the added rows that belong to it, ascending.
        order: "ascending" or "descending" by time, or "shuffled": no order, but the same on every page.
    """

    def __init__(
        self, timeline: Timeline, ranks: Sequence[int], added: Sequence[AddedRow], order: Order = "ascending"
    ) -> None:
        self._timeline = timeline
        self._ranks = ranks
        self._added = added
        self._descending = order == "descending"
        self._stride, self._shift = 1, 0
        if order == "shuffled" and ranks:
            self._stride, self._shift = _stride(len(ranks)), ranks[0] % 7919
            # A late row gets a position of its own and pushes the rest down, as it does in an unsorted table.
            self._added = sorted(added, key=self._place)
            slots = [self._place(row) for row in self._added]
        else:
            slots = [bisect_left(ranks, row.rank) for row in added]
        self._positions = [slot + earlier for earlier, slot in enumerate(slots)]

    def __len__(self) -> int:
        return len(self._ranks) + len(self._added)

    def at(self, position: int) -> int | AddedRow:
        """Return what is at a position: the rank of a row of the history, or an added row."""
        if self._descending:
            position = len(self) - 1 - position
        earlier = bisect_right(self._positions, position)
        if earlier and self._positions[earlier - 1] == position:
            return self._added[earlier - 1]
        return self._ranks[((position - earlier) * self._stride + self._shift) % len(self._ranks)]

    def rows(self, first: int, last: int) -> list[Row]:
        """Return the rows at positions [first, last), fewer where the listing ends."""
        found = map(self.at, range(first, min(last, len(self))))
        return [dict(one.row) if isinstance(one, AddedRow) else self._timeline.row(one) for one in found]

    def _place(self, added: AddedRow) -> int:
        return added.start_ms * 2_654_435_761 % (len(self._ranks) + 1)


def _stride(size: int) -> int:
    """Return a number without a common divisor with `size`, near the golden section of it."""
    stride = int(size * 0.618) | 1
    while gcd(stride, size) != 1:
        stride += 2
    return stride
