"""What came of what was there. Pure: ids in, counts out."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Self

from attrs import astuple, define


@define(frozen=True)
class Account:
    """Rows counted.

    Attributes:
        rows: rows handed out.
        lost: rows that were there before the reading started, should have come, and did not.
        doubled: rows that came more than once.
        stray: rows that were not asked for, or that no gateway has.
    """

    rows: int = 0
    lost: int = 0
    doubled: int = 0
    stray: int = 0

    @classmethod
    def of(cls, came: Sequence[object], *, due: Collection[object], known: Collection[object]) -> Self:
        """Count what came.

        Args:
            came: ids as they were handed out.
            due: ids that had to come, as often as rows have them.
            known: ids that may come, likewise.
        """
        times, may_come = Counter(came), Counter(known)
        stray = times.keys() - may_come.keys()
        return cls(
            rows=len(came),
            lost=(Counter(due) - times).total(),
            doubled=(times - may_come).total() - sum(times[one] for one in stray),
            stray=len(stray),
        )

    def __add__(self, other: "Account") -> "Account":
        return Account(*map(sum, zip(astuple(self), astuple(other), strict=True)))
