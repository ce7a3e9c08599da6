"""Headers and packed bodies as servers and proxies send them: read, or refused in words that help."""

import asyncio
import gzip
import zlib

import aiohttp
import pytest

from nxcdr_async import MalformedReplyError, NxcdrError, TransportError
from tests.strange.server import enveloped, read_all, session_on, speaking

NOTHING_FOUND = enveloped("order", "[]")
KIB = 1024


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


async def answer_to(
    *headers: bytes, body: bytes = NOTHING_FOUND, http: aiohttp.ClientSession | None = None
) -> tuple[list[object] | NxcdrError, int]:
    """Return what a session makes of a reply with these headers, and how often it asked for it."""
    asked = 0

    async def speak(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        length = b"Content-Length: %d" % len(body)
        writer.write(b"\r\n".join([b"HTTP/1.1 200 OK", *headers, length, b"Connection: close", b"", body]))
        await writer.drain()

    async with speaking(speak) as url, session_on(url, http=http) as session:
        try:
            return await asyncio.wait_for(read_all(session, "order"), 60), asked
        except NxcdrError as error:
            return error, asked


LONG = {
    "a value of 60 KiB": [b"X-Policy: " + b"a" * 60 * KIB],
    "a name of 60 KiB": [b"X" * 60 * KIB + b": a"],
    "500 headers": [b"X-%d: a" % number for number in range(500)],
    "200 headers of 300 bytes": [b"X-%d: %b" % (number, b"a" * 300) for number in range(200)],
}
TOO_LONG = {
    "a value": [b"X-Policy: " + b"a" * 70 * KIB],
    "a name": [b"X" * 70 * KIB + b": a"],
    "too many": [b"X-%d: a" % number for number in range(3_000)],
}


@pytest.mark.parametrize("headers", LONG.values(), ids=LONG)
@pytest.mark.parametrize("is_of_the_caller", [False, True])
async def test_long_headers_are_taken(headers: list[bytes], is_of_the_caller: bool) -> None:
    async with aiohttp.ClientSession() as http:
        assert (await answer_to(*headers, http=http if is_of_the_caller else None))[0] == []


@pytest.mark.parametrize("headers", TOO_LONG.values(), ids=TOO_LONG)
async def test_headers_without_end_are_refused_soon(headers: list[bytes]) -> None:
    error, asked = await answer_to(*headers)
    assert isinstance(error, MalformedReplyError)
    assert "longer than 64 KiB, or there are more than 1,000" in str(error)
    assert "aaaa" not in str(error)
    assert asked == 3


@pytest.mark.parametrize(
    "headers",
    [
        [b"Date: Fri, 02 Jan 2015 10:00:00 GMT", b"Date: Fri, 02 Jan 2026 10:00:00 GMT"],
        [b"Date:"],
        [b"Date: \xff\xfe"],
        [b"Date: yesterday"],
        [b"X-Region: \xe4\xb8\xad\xff"],
        [b"X-Folded: a\r\n b"],
        [b"Content-Type: \xff"],
        [b"Content-Range: bytes 0-1/2"],
        [b"X-Request-Id: \xff"],
    ],
    ids=repr,
)
async def test_odd_headers_do_no_harm(headers: list[bytes]) -> None:
    assert (await answer_to(*headers))[0] == []


@pytest.mark.parametrize(
    "headers",
    [[b"Content-Length: 3"], [b"Content-Length: many"], [b"X-A: a\x00b"], [b"no colon"], [b"a b: c"], [b": c"]],
    ids=repr,
)
async def test_headers_that_break_http_are_refused_as_such(headers: list[bytes]) -> None:
    error, _ = await answer_to(*headers)
    assert isinstance(error, TransportError)
    assert "what it sent is not HTTP as it should be" in str(error)


PACKED = {
    "gzip": gzipped(NOTHING_FOUND),
    "GZIP": gzipped(NOTHING_FOUND),
    "deflate": zlib.compress(NOTHING_FOUND),
    "Deflate": zlib.compress(NOTHING_FOUND)[2:-4],
    "identity": NOTHING_FOUND,
    "": NOTHING_FOUND,
    "utf-8": NOTHING_FOUND,
}


@pytest.mark.parametrize("coding", PACKED)
async def test_packed_bodies_are_unpacked(coding: str) -> None:
    found, _ = await answer_to(f"Content-Encoding: {coding}".encode(), body=PACKED[coding])
    assert found == []


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("x-gzip", gzipped(NOTHING_FOUND)),
        ("gzip, gzip", gzipped(gzipped(NOTHING_FOUND))),
        ("gzip\r\nContent-Encoding: gzip", gzipped(gzipped(NOTHING_FOUND))),
        ("gzip", gzipped(gzipped(NOTHING_FOUND))),
        ("gzip, identity", gzipped(NOTHING_FOUND)),
        ("identity", gzipped(NOTHING_FOUND)),
        ("compress", b"\x1f\x9d" + NOTHING_FOUND),
        ("lzma", b"\x00\x01" + NOTHING_FOUND),
        ("something of a proxy", b"\x00\x01"),
        ("identity", b"\x28\xb5\x2f\xfd" + NOTHING_FOUND),
    ],
    ids=repr,
)
async def test_a_body_packed_in_other_ways_says_so(coding: str, body: bytes) -> None:
    error, asked = await answer_to(f"Content-Encoding: {coding}".encode(), body=body)
    assert isinstance(error, MalformedReplyError)
    assert "packed in a way that was not asked for" in str(error)
    assert asked == 3


@pytest.mark.parametrize("body", [NOTHING_FOUND, gzipped(NOTHING_FOUND) + b"garbage"], ids=["plain", "trailing"])
async def test_a_body_that_is_not_packed_as_told_is_no_whole_reply(body: bytes) -> None:
    error, _ = await answer_to(b"Content-Encoding: gzip", body=body)
    assert "the body was cut off or is not what its headers say" in str(error)
