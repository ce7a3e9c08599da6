"""Whether this machine's clock, or the sender's, is off, by signed pushes refused for their time. Pure."""

from statistics import median

from attrs import define, field

from nxcdr_async.protocol.signed_headers import ALLOWED_SKEW_MS

REFUSALS_IN_A_ROW = 3
"""Pushes refused with about the same offset, with none accepted in between, that prove a clock to be off."""

SECONDS_BETWEEN_REPORTS = 3_600.0
"""Seconds before that is reported again."""


@define(eq=False)
class ClockWatch:
    """The clock offsets of the last pushes whose signature was right and whose timestamp was not.

    A push that is sent again late has the timestamp of its first time, so each timestamp counts once.
    """

    _ahead_ms: dict[str, int] = field(factory=dict, init=False)
    _reported_at: float | None = field(default=None, init=False)

    def note_accepted(self) -> None:
        """Note that a timestamp was accepted."""
        self._ahead_ms.clear()

    def note_refused(self, ts: str, ahead_ms: int, *, now: float) -> float | None:
        """Note that a timestamp was refused; return by how many seconds it is ahead, if that is to be reported now.

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
        if self._reported_at is not None and abs(now - self._reported_at) < SECONDS_BETWEEN_REPORTS:
            return None
        self._reported_at = now
        return median(offsets) / 1000
