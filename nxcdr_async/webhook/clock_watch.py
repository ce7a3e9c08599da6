"""Whether the clock here is off, by signed pushes that were refused for their time. Pure."""

from statistics import median

from attrs import define, field

from nxcdr_async.protocol.auth import ALLOWED_SKEW_MS

REFUSALS_IN_A_ROW = 3
"""Pushes, refused by about the same offset with none accepted in between, after which it is a clock's fault."""

SECONDS_BETWEEN = 3_600.0
"""How long it is before that is told again."""


@define(eq=False)
class ClockWatch:
    """Holds the offsets of the last pushes whose signature was right and whose timestamp was not.

    A push that is sent again late has the timestamp of its first time, so each timestamp counts once.
    """

    _ahead_ms: dict[str, int] = field(factory=dict, init=False)
    _told: float | None = field(default=None, init=False)

    def agreed(self) -> None:
        """Take in that a timestamp was accepted."""
        self._ahead_ms.clear()

    def refused(self, ts: str, ahead_ms: int, *, now: float) -> float | None:
        """Take in that a timestamp was refused; return by how many seconds it is ahead, if that is to be told now.

        Args:
            ts: the timestamp.
            ahead_ms: by how much it is ahead of the clock here.
            now: epoch seconds, by that clock.
        """
        self._ahead_ms.setdefault(ts, ahead_ms)
        while len(self._ahead_ms) > REFUSALS_IN_A_ROW:
            del self._ahead_ms[next(iter(self._ahead_ms))]
        offsets = self._ahead_ms.values()
        if len(offsets) < REFUSALS_IN_A_ROW or max(offsets) - min(offsets) > ALLOWED_SKEW_MS:
            return None
        if self._told is not None and abs(now - self._told) < SECONDS_BETWEEN:
            return None
        self._told = now
        return median(offsets) / 1000
