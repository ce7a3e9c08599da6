"""The emulator's own clock, which a test can move."""

import time
from datetime import UTC, datetime
from threading import Lock


class EmulatorClock:
    """The real time plus an offset; safe to move from any thread."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._lock = Lock()

    def now(self) -> float:
        """Return the emulator's time in epoch seconds."""
        return time.time() + self.offset

    def now_ms(self) -> int:
        """Return the emulator's time in epoch milliseconds."""
        return int(self.now() * 1000)

    def move(self, seconds: float) -> None:
        """Set the clock forward, or back with a negative number, by so many seconds."""
        with self._lock:
            self.offset += seconds

    def move_to(self, moment: datetime) -> None:
        """Set the clock to an aware datetime; it goes on running from there.

        Raises:
            ValueError: the datetime is naive.
        """
        if moment.tzinfo is None:
            raise ValueError("a time without a zone means nothing here: use an aware datetime")
        self.offset = moment.astimezone(UTC).timestamp() - time.time()

    def reset(self) -> None:
        """Go back to the real time."""
        self.offset = 0.0
