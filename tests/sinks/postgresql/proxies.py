"""What may stand between a client and a PostgreSQL server: a pooler, and a line that falls silent."""

import math
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
PLAIN = "sslmode=disable&gssencmode=disable"
"""What an address has to say, so that what goes over the line can be read."""

OWN_NUMBER = 999_999


def received(line: socket.socket, size: int) -> bytes:
    """Return so many bytes.

    Raises:
        EOFError: the line was closed before.
    """
    parts = bytearray()
    while len(parts) < size:
        part = line.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def message(line: socket.socket) -> tuple[bytes, bytes]:
    """Return the kind of the next message, and its bytes."""
    head = received(line, 5)
    return head[:1], head + received(line, struct.unpack("!i", head[1:])[0] - 4)


def startup(line: socket.socket) -> bytes:
    """Return the first message of a client, which asks for no encryption then."""
    while True:
        head = received(line, 4)
        body = received(line, struct.unpack("!i", head)[0] - 4)
        if struct.unpack("!i", body[:4])[0] not in (SSL_REQUEST, GSS_REQUEST):
            return head + body
        line.sendall(b"N")


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each client in a thread of its own; give the port."""
    clients: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def served(client: socket.socket) -> None:
        with client, suppress(EOFError, OSError):  # whoever goes has what it came for
            serve(client)

    def accept() -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threads.append(threading.Thread(target=served, args=[client]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for client in clients:
                with suppress(OSError):  # it is closed already
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


class SilentLine:
    """Lines to a server over which nothing comes back any more from some moment on, and that stay open.

    Attributes:
        answers: how many answers come back over each; connecting takes one.
    """

    def __init__(self, server: tuple[str, int], answers: float = math.inf) -> None:
        self.answers = answers
        self._server = server
        self._lines: list[threading.Event] = []

    def fall_silent(self, *, for_later_ones: bool) -> None:
        """Let nothing more come back over the lines there are, and over later ones, if that is wanted."""
        for is_silent in self._lines:
            is_silent.set()
        if for_later_ones:
            self.answers = 0

    def serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._server) as server:
            server.sendall(startup(client))
            answers = threading.Thread(target=self._answer, args=[client, server])
            answers.start()
            try:
                while part := client.recv(1 << 16):
                    server.sendall(part)
            finally:
                server.shutdown(socket.SHUT_RDWR)
                answers.join()

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        is_silent, answers = threading.Event(), self.answers
        self._lines.append(is_silent)
        with suppress(EOFError, OSError):  # either of them went
            while True:
                kind, whole = message(server)
                if is_silent.is_set() or answers <= 0:
                    continue
                client.sendall(whole)
                answers -= kind == b"Z"


class TransactionPooler:
    """Gives each transaction the server connection that was free for the longest time; copies are beyond it.

    Args:
        address: of the database.
        size: how many connections it has.
        tells_number: whether it tells clients the number of a process of the server, as few do, not one of its own.
    """

    def __init__(self, address: str, size: int, *, tells_number: bool = False) -> None:
        self._connections = [psycopg.connect(f"{address}?{PLAIN}", autocommit=True) for _ in range(size)]
        self._free = deque(self._connections)
        self._is_free = threading.Condition()
        self._number = self._connections[0].info.backend_pid if tells_number else OWN_NUMBER

    def serve(self, client: socket.socket) -> None:
        startup(client)
        client.sendall(self._welcome())
        held: psycopg.Connection[tuple[object, ...]] | None = None
        while True:
            kind, whole = message(client)
            if kind == b"X":
                return
            if held is None:
                held = self._taken()
            with socket.fromfd(held.fileno(), socket.AF_INET, socket.SOCK_STREAM) as server:
                server.settimeout(None)
                server.sendall(whole)
                if kind not in (b"Q", b"S"):
                    continue
                kind = b""
                while kind != b"Z":
                    kind, whole = message(server)
                    client.sendall(whole)
            if whole[-1:] == b"I":
                with self._is_free:
                    self._free.append(held)
                    self._is_free.notify()
                held = None

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _taken(self) -> "psycopg.Connection[tuple[object, ...]]":
        with self._is_free:
            self._is_free.wait_for(lambda: self._free)
            return self._free.popleft()

    def _welcome(self) -> bytes:
        status = self._connections[0].pgconn.parameter_status
        names = (b"server_version", b"server_encoding", b"client_encoding", b"standard_conforming_strings")
        parts = [b"R" + struct.pack("!ii", 8, 0)]
        for name in names:
            pair = name + b"\0" + (status(name) or b"") + b"\0"
            parts.append(b"S" + struct.pack("!i", 4 + len(pair)) + pair)
        parts += [b"K" + struct.pack("!iii", 12, self._number, 0), b"Z" + struct.pack("!i", 5) + b"I"]
        return b"".join(parts)
