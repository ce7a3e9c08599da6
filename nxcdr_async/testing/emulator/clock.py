"""The emulator's own clock, which a test can move."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from math import isfinite
from threading import Lock

from attrs import define, field

from nxcdr_async._util.clocks import wall
from nxcdr_async._util.validation import as_number
from nxcdr_async.testing.emulator.switches import Switches


class EmulatorClock:
    """The emulator's clock: the real time plus an offset, which may be changed from any thread.

    Args:
        real: returns the real time in epoch seconds; a test may give a time of its own.

    Attributes:
        offset: seconds it is ahead of the real time.
    """

    def __init__(self, real: Callable[[], float] = wall) -> None:
        self.offset = 0.0
        self._real = real
        self._lock = Lock()

    def now(self) -> float:
        """Return the emulator's time in epoch seconds."""
        return self._real() + self.offset

    def now_ms(self) -> int:
        """Return the emulator's time in epoch milliseconds."""
        return int(self.now() * 1000)

    def move(self, seconds: float) -> None:
        """Set the clock forward, or back with a negative number, by so many seconds.

        Raises:
            ValueError: they are no number.
        """
        number = as_number(seconds)
        if number is None or not isfinite(number):
            raise ValueError(f"seconds is {seconds!r}: give a number of seconds, such as -90.0")
        with self._lock:
            self.offset += number

    def move_to(self, moment: datetime) -> None:
        """Set the clock to an aware datetime; it goes on running from there.

        Raises:
            ValueError: the datetime is naive.
        """
        if moment.tzinfo is None:
            raise ValueError("a time without a zone means nothing here: use an aware datetime")
        self.offset = moment.astimezone(UTC).timestamp() - self._real()

    def reset(self) -> None:
        """Go back to the real time."""
        self.offset = 0.0


@define(eq=False)
class DateHeader:
    """The `Date` header of each reply, which the switches may make differ from the clock."""

    _switches: Switches
    _first: float | None = field(default=None, init=False)
    _replies: int = field(default=0, init=False)

    def at(self, now: float) -> str | None:
        """Return the header of a reply sent at a moment by the emulator's clock (epoch seconds); None for none."""
        switches = self._switches
        self._first = now if self._first is None else self._first
        relay = switches.relays[self._replies % len(switches.relays)] if switches.relays else 0.0
        self._replies += 1
        if switches.date == "absent":
            return None
        running = self._first if switches.date == "frozen" else now
        shown = running + switches.date_offset + relay + switches.date_drift * (running - self._first)
        return formatdate(shown, usegmt=True)
