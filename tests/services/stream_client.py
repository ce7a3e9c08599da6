"""A client that reads a stream as slowly as it likes, and may go away at any moment."""

import socket
import struct
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

SMALL_BUFFER = 4_096
_AT_ONCE = struct.pack("ii", 1, 0)


class StreamClient:
    """One request whose answer is read bit by bit, through buffers as small as the system allows."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = HTTPConnection(parts.hostname, parts.port or 80)
        self._connection.sock = self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._socket.settimeout(60)
        self._socket.connect((parts.hostname, parts.port))
        self._connection.request("GET", parts.path)
        self.reply: HTTPResponse = self._connection.getresponse()

    def read_lines(self, count: int) -> list[bytes]:
        """Read so many lines and no more than a buffer beyond them."""
        return [self.reply.readline() for _ in range(count)]

    def read_rest(self) -> list[bytes]:
        """Read all that is left."""
        return self.reply.read().splitlines(keepends=True)

    def close(self) -> None:
        """Go away in good order."""
        self.reply.close()
        self._connection.close()

    def reset(self) -> None:
        """Go away as a client that crashed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()
