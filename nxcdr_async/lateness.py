"""How late rows turn up: what is known of it, how long to wait for them, and when to look for them again. Pure."""

import math
from bisect import bisect_left
from itertools import accumulate
from typing import Self

from attrs import define, evolve, field

from nxcdr_async.windows import DAY, HOUR

BINS_AN_OCTAVE = 2
"""Bins in which the age doubles."""

EDGES = tuple(round(HOUR * 2 ** (step / BINS_AN_OCTAVE)) for step in range(-12, 20))
"""The greatest age of each bin but the last, seconds: from a minute to a month, hours among them."""

BINS = len(EDGES) + 1

GROWTH = 2.0
"""How many times older what was read has to be than when it was looked at last, to be looked at again.

So a row is found at twice the age it turns up at, or before.
"""

FIRST_LOOK = 60.0
"""Seconds of age before which looking again is not worthwhile."""

DEFAULT_SETTLE = DAY
"""Seconds after which all rows are there, where nobody has seen how late they come: the longest call and more."""

SHORTEST_SETTLE = HOUR
"""Seconds that are waited for late rows in any case."""

EVIDENCE = 7 * DAY
"""Seconds over which it has to be seen how late rows come before that is relied on: a weekend is unlike a Monday."""

LATER_THAN_SETTLED = 1e-6
"""The share of all rows that may be expected to turn up, or change, later than is waited for."""

NOT_WORTH_A_LOOK = 1e-4
"""The share of all rows that is not worth looking for, as what settles is read once more anyway."""


def _no_rows() -> tuple[int, ...]:
    return (0,) * BINS


def _check_bins(_lateness: object, attribute: object, counts: tuple[int, ...]) -> None:
    if len(counts) != BINS or min(counts) < 0:
        raise ValueError(f"{getattr(attribute, 'name', '')} has to be {BINS} counts, none of them negative")


@define(frozen=True)
class Lateness:
    """How old rows were when they were first seen, and when a value of theirs was first seen to have changed.

    Ages are counted from a row's own time, by which windows go: that of a call is its start, so the call itself is a
    part of its age. `msgspec` writes and reads it as JSON.

    Attributes:
        rows: rows first seen, by the bins of `EDGES`; the last bin has all that are older.
        changes: rows seen to have changed, likewise.
        since: when the first of this was seen, epoch seconds; None before.
        until: when the last of it was.
    """

    rows: tuple[int, ...] = field(factory=_no_rows, validator=_check_bins)
    changes: tuple[int, ...] = field(factory=_no_rows, validator=_check_bins)
    since: int | None = None
    until: int | None = None

    @property
    def total(self) -> int:
        """All rows first seen."""
        return sum(self.rows)

    @property
    def is_evidence(self) -> bool:
        """Whether rows were watched for long enough to go by."""
        return bool(self.total and self.since is not None and self.until is not None and self._span >= EVIDENCE)

    @property
    def settle(self) -> int:
        """Seconds after which less than one row in a million is expected to turn up, or to change.

        As few rows say little of one in a million, it is assumed that what nobody has seen yet gets rarer with the
        square of its age; that alone never makes it longer than the default.
        """
        if not self.is_evidence:
            return DEFAULT_SETTLE
        return max(SHORTEST_SETTLE, self._enough_for(self.rows), self._enough_for(self.changes))

    def later_than(self, age: float) -> int:
        """Return how many rows were first seen at a greater age; those of its bin count if they may have been."""
        return _beyond(self.rows, age)

    def changed_later_than(self, age: float) -> int:
        """Return how many rows were seen to have changed at a greater age, likewise."""
        return _beyond(self.changes, age)

    def with_rows(self, count: int, *, youngest: float, oldest: float, at: int) -> Self:
        """Add rows that turned up between two ages.

        Where both lie in several bins, they are shared out as what is known suggests; where it suggests nothing, they
        count as of the greater age.

        Args:
            count: how many.
            youngest: the age at which they were looked for in vain, 0 if nobody has.
            oldest: the age at which they were there.
            at: when that was, epoch seconds.
        """
        return evolve(self._seen_at(at), rows=_shared_out(self.rows, count, youngest, oldest))

    def with_changes(self, count: int, *, youngest: float, oldest: float, at: int) -> Self:
        """Add rows that changed between two ages, likewise."""
        return evolve(self._seen_at(at), changes=_shared_out(self.changes, count, youngest, oldest))

    def expects(self, youngest: float, oldest: float) -> bool:
        """Return whether enough rows turn up between two ages to look for them; so it is before there is evidence."""
        if not self.is_evidence:
            return True
        between = sum(self.rows[_bin_of(youngest) : _bin_of(oldest) + 1])
        return (between + 1) / (self.total + 1) >= NOT_WORTH_A_LOOK

    @property
    def _span(self) -> int:
        return 0 if self.since is None or self.until is None else self.until - self.since

    def _seen_at(self, at: int) -> Self:
        since, until = (at if known is None else known for known in (self.since, self.until))
        return evolve(self, since=min(since, at), until=max(until, at))

    def _enough_for(self, counts: tuple[int, ...]) -> int:
        """Return the age after which too few rows turn up to be waited for, by some counts."""
        later = list(accumulate(reversed(counts), initial=0))[::-1][1:]
        allowed = LATER_THAN_SETTLED * self.total
        place = next(place for place, beyond in enumerate(later) if beyond <= allowed)
        # The last bin has no edge: whatever it holds may come at any age.
        edge = EDGES[place] if place < len(EDGES) else 2 * EDGES[-1]
        if not counts[place]:
            return SHORTEST_SETTLE
        unseen = (later[place] + 1) / (self.total + 1) / LATER_THAN_SETTLED
        return max(edge, min(DEFAULT_SETTLE, math.ceil(edge * math.sqrt(max(1.0, unseen)))))


NOTHING_KNOWN = Lateness()


def next_look(age: float, *, settle: float, lateness: Lateness = NOTHING_KNOWN) -> float:
    """Return the age at which to look again at what was looked at last at an age, or was first read then.

    The ages double. Where it is known that hardly any rows turn up at them, further ones are left out; it is looked at
    in any case once it settles. All are seconds after the end of a window, or of whatever was read.

    Args:
        age: at which it was looked at.
        settle: the age from which on no further rows are to be expected, nor waited for.
        lateness: how late rows are known to come.

    Returns:
        infinity once it has settled.
    """
    if age >= settle:
        return math.inf
    look = max(FIRST_LOOK, age * GROWTH)
    while look < settle and not lateness.expects(age, look):
        look *= GROWTH
    return min(look, settle)


def _bin_of(age: float) -> int:
    return bisect_left(EDGES, age)


def _beyond(counts: tuple[int, ...], age: float) -> int:
    first = _bin_of(age)
    return sum(counts[first + 1 :] if first < len(EDGES) and EDGES[first] == age else counts[first:])


def _shared_out(counts: tuple[int, ...], count: int, youngest: float, oldest: float) -> tuple[int, ...]:
    """Add to the bins between two ages in proportion to what is in them, rounded towards the greater age."""
    places = range(_bin_of(youngest), _bin_of(oldest) + 1)
    known = list(accumulate(counts[place] for place in places))
    added = list(counts)
    if not known[-1]:
        added[places[-1]] += count
        return tuple(added)
    given = 0
    for place, so_far in zip(places, known, strict=True):
        share = count * so_far // known[-1] - given
        added[place] += share
        given += share
    return tuple(added)
