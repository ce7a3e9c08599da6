"""Bytes that never end, or that are no HTTP, from a real server: an error in bounded time and memory."""

import asyncio
import itertools
import tracemalloc
import zlib

import pytest

from nxcdr_async import MalformedReplyError, NxcdrError, TimedOutError, TransportError
from nxcdr_async.transport import connection as line
from tests.strange.server import Speak, read_all, session_on, speaking

MEBIBYTE = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def error_of(speak: Speak, **changes: float) -> NxcdrError:
    """Return the error of one question to a server that speaks like this."""
    async with speaking(speak) as url, session_on(url, **changes) as session:
        with pytest.raises(NxcdrError) as caught:
            await asyncio.wait_for(read_all(session, "order"), 30)
        assert session.stats.in_flight == 0
    return caught.value


def endlessly(head: bytes, part: bytes, *, pause: float = 0.0) -> Speak:
    """Return what says `head`, and then `part` for ever."""

    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return speak


def once(said: bytes) -> Speak:
    """Return what says this and no more."""

    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    return speak


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"Connection: close\r\n\r\n", b" " * 65_536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
        (b"Content-Length: 999999999999999\r\n\r\n", b'{"code": 0, "data": [' * 1000),
    ],
    ids=["until closed", "chunked", "announced"],
)
async def test_a_body_without_end_is_cut_off(head: bytes, part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LARGEST_BODY", MEBIBYTE)
    error = await error_of(endlessly(HEAD + head, part))
    assert isinstance(error, MalformedReplyError)
    assert "longer than 1 MiB" in str(error)


def bomb(window_bits: int, mebibytes: int) -> bytes:
    """Return so many zeros, packed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    zeros = bytes(MEBIBYTE)
    return b"".join([*(packer.compress(zeros) for _ in range(mebibytes)), packer.flush()])


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
async def test_a_body_that_unpacks_to_far_more_is_cut_off_in_bounded_memory(
    encoding: str, window_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "LARGEST_BODY", 8 * MEBIBYTE)
    body = bomb(window_bits, 128)
    head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    tracemalloc.start()
    try:
        error = await error_of(once(HEAD + head + body))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, MalformedReplyError)
    assert peak < 4 * line.LARGEST_BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_not_packed_as_it_says_is_an_error(encoding: str) -> None:
    body = b'{"code": 0, "data": []}'
    head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert isinstance(await error_of(once(HEAD + head + body)), TransportError | MalformedReplyError)


@pytest.mark.parametrize(
    "part",
    [b"X-More: of the same\r\n", b"x" * 4096, b"X: " + b"y" * 100_000 + b"\r\n"],
    ids=["lines", "a name", "values"],
)
async def test_headers_without_end_are_an_error(part: bytes) -> None:
    assert isinstance(await error_of(endlessly(HEAD, part), timeout=30.0), MalformedReplyError)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD, b"X"),
        (b"", b"H"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    ],
    ids=["body", "chunks", "headers", "status", "length of a chunk"],
)
async def test_a_trickle_ends_at_the_timeout(head: bytes, part: bytes) -> None:
    error = await error_of(endlessly(head, part, pause=0.01), timeout=0.2)
    assert isinstance(error, TimedOutError | TransportError)


async def test_notices_without_end_that_the_answer_follows_end_at_the_timeout() -> None:
    error = await error_of(endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.001), timeout=0.5)
    assert isinstance(error, TransportError)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b'{"code": 0, "data": []}',
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        HEAD + b"Content-Length: five\r\n\r\n12345",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
        HEAD + b"Content-Length: 50\r\n\r\n{}",
        HEAD + b"Date: \xff\xfe\r\nRetry-After: \xff\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Set-Cookie: " + b"\xf0\x9f\x98\x80" * 100 + b"\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_no_reply_of_http_is_an_error(said: bytes) -> None:
    assert isinstance(await error_of(once(said), timeout=5.0), TransportError | MalformedReplyError)


def mutations() -> list[bytes]:
    """Return a genuine reply with each byte of its head turned into another one, and cut off at each."""
    body = b'{"code": 1002, "msg": "no", "data": {}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    flips = itertools.product(range(len(head)), (0x01, 0x20, 0x80))
    turned = [bytearray(head + body) for _ in range(3 * len(head))]
    for said, (place, bits) in zip(turned, flips, strict=True):
        said[place] ^= bits
    return [*map(bytes, turned), *((head + body)[:length] for length in range(len(head)))]


async def test_no_mutation_of_a_genuine_head_leads_out_of_the_tree_of_errors() -> None:
    for said in mutations():
        # A length that grew is waited for; everything else is over at once.
        assert isinstance(await error_of(once(said), timeout=5.0), NxcdrError)
