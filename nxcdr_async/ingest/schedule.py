"""When the rounds of `nxcdr sync --every` come, and which errors end them. Pure."""

from collections.abc import Mapping
from typing import Literal, TypeVar

from attrs import define, evolve, field

from nxcdr_async.errors import AuthenticationError, BusyError, ClockSkewError, ConfigurationError, NxcdrError

RoundOutcome = Literal["done", "gaps", "busy", "failed"]
"""All is stored; all but known gaps; another run had hold of the store; an error ended it."""

JITTER = 0.1
"""The part of a pause by which it is made longer or shorter by chance, so that many machines do not ask at once."""

FIRST_RETRY = 300.0
"""Seconds after which a round is tried again that failed, if the next is not due before."""

LONGEST_RETRY = 3600.0
"""Seconds up to which the pauses double while rounds fail; rounds that are rarer are tried as often as they are due."""

LEAST_PATIENCE = 3600.0
"""Seconds without news of a source that are no reason to worry, however often its rounds come."""

ROUNDS_OF_PATIENCE = 3

_MOST_DOUBLINGS = 20

KeyT = TypeVar("KeyT")


@define(frozen=True)
class Track:
    """Where the rounds of one source stand.

    Attributes:
        due: when the next begins, in seconds of a clock that never jumps.
        failures: rounds that failed, one after the other.
        has_worked: whether any has come to its end.
    """

    due: float
    failures: int = 0
    has_worked: bool = False


@define(frozen=True)
class Schedule:
    """How often rounds come.

    Attributes:
        every: seconds from the beginning of a round to that of the next. A round that takes longer is followed by the
            next at once: two never overlap.
    """

    every: float = field(converter=float)

    def after(self, track: Track, outcome: RoundOutcome, *, begun: float, ended: float, chance: float) -> Track:
        """Return where the rounds of a source stand after one more.

        Args:
            track: where they stood.
            outcome: how it ended.
            begun: when it began.
            ended: when it ended.
            chance: at least 0 and less than 1.
        """
        swing = 1 + JITTER * (2 * chance - 1)
        if outcome == "failed":
            failures = track.failures + 1
            return evolve(track, due=ended + self._retry(failures) * swing, failures=failures)
        due = max(ended, begun + self.every * swing)
        if outcome == "busy":  # it says nothing of the gateway, nor of the store
            return evolve(track, due=due)
        return Track(due, has_worked=True)

    def _retry(self, failures: int) -> float:
        doubled = min(self.every, FIRST_RETRY) * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(doubled, max(self.every, LONGEST_RETRY))

    @property
    def patience(self) -> float:
        """Seconds without news of a source after which something is wrong."""
        return max(ROUNDS_OF_PATIENCE * self.every, LEAST_PATIENCE)


def next_due(tracks: Mapping[KeyT, Track]) -> KeyT:
    """Return which of some sources comes next; of those due at one time, the first."""
    return min(tracks, key=lambda key: tracks[key].due)


def is_final(error: NxcdrError, track: Track) -> bool:
    """Return whether an error ends all rounds: a wrong setup that never worked, which somebody has to mend first.

    Once a round has worked, the same may pass: a database that is switched over, a gateway that loses its keys for a
    while. Then it is told, and tried again.
    """
    if track.has_worked or isinstance(error, BusyError | ClockSkewError):
        return False
    return isinstance(error, ConfigurationError | AuthenticationError)
