"""A connection to a PostgreSQL server that is cut when the server does not answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from nxcdr_async._util.clocks import steady

SECONDS_TO_ANSWER = 120.0
"""How long a server may be silent over what a window takes."""

SECONDS_FOR_A_TABLE = 86_400.0
"""How long it may be silent over what a whole table takes, such as removing its old rows."""

_LOOKS_A_BOUND = 10
_LONGEST_LOOK = 1.0


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is cut when its server says nothing for too long, although it lives as far as TCP can tell.

    A statement that is late and a server that hangs look alike, so what bounds the one bounds the other.

    Attributes:
        seconds_to_answer: how long it may say nothing.
        was_cut: whether it said nothing for longer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seconds_to_answer = SECONDS_TO_ANSWER
        self.was_cut = False
        self._asked_at: float | None = None
        self._is_over = threading.Event()
        # A handle of its own for the same line, as the number of the other may be somebody else's once that is closed.
        self._line = socket.fromfd(self.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._watch = threading.Thread(target=self._cut_if_silent, name="nxcdr-postgresql", daemon=True)
        self._watch.start()

    def wait(self, *args: Any, **options: Any) -> Any:
        """Wait for the server, as psycopg does for each statement and each row of a copy."""
        self._asked_at = steady()
        try:
            return super().wait(*args, **options)
        finally:
            self._asked_at = None

    @contextmanager
    def patient(self, seconds: float = SECONDS_FOR_A_TABLE) -> Iterator[None]:
        """Give it longer to answer within a block."""
        before = self.seconds_to_answer
        self.seconds_to_answer = max(before, seconds)
        try:
            yield
        finally:
            self.seconds_to_answer = before

    def close(self) -> None:
        """Close it, and end the watch."""
        super().close()
        self._is_over.set()
        self._watch.join()
        self._line.close()

    def _cut_if_silent(self) -> None:
        while not self._is_over.wait(min(_LONGEST_LOOK, self.seconds_to_answer / _LOOKS_A_BOUND)):
            asked_at = self._asked_at
            if asked_at is not None and steady() - asked_at > self.seconds_to_answer:
                self.was_cut = True
                with suppress(OSError):  # it is down already
                    self._line.shutdown(socket.SHUT_RDWR)
                return
