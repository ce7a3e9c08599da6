"""Every status a server can send, over HTTP: believed, tried again, or refused with words that name it."""

import asyncio
from http import HTTPStatus

import pytest

from nxcdr_async import CdrSession, GatewayError, MalformedReplyError, NxcdrError, ServerError, ThrottledError
from tests.strange.server import enveloped, read_all, session_on, speaking

NOTHING_FOUND = enveloped("order", "[]")
WEB_PAGE = b"<html><body>who knows</body></html>"
WITHOUT_BODY = {204, 304}
INTERIM = {*range(100, 200)} - {101}


def reply_of(status: int, body: bytes, *headers: str) -> bytes:
    told = b"" if status in WITHOUT_BODY else body
    head = [f"HTTP/1.1 {status:03} Whatever", *headers]
    if status not in INTERIM:
        head.append("Connection: close")
    if status not in WITHOUT_BODY | INTERIM:
        head.append(f"Content-Length: {len(told)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (b"" if status in INTERIM else told)


GOOD = reply_of(200, NOTHING_FOUND)


async def ask(session: CdrSession) -> object:
    return await asyncio.wait_for(read_all(session, "order"), 60)


async def answers_to(*replies: bytes) -> tuple[list[object] | NxcdrError, int]:
    """Return what a session makes of these replies, the last of which is sent for ever, and how often it asked."""
    asked = 0

    async def speak(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        writer.write(replies[min(asked, len(replies) - 1)])
        asked += 1
        await writer.drain()

    async with speaking(speak) as url, session_on(url) as session:
        try:
            return await ask(session), asked  # type: ignore[return-value]
        except NxcdrError as error:
            return error, asked


async def test_every_status_is_tried_again_only_where_that_may_help() -> None:
    status, has_told = 0, False

    async def speak(writer: asyncio.StreamWriter) -> None:
        nonlocal has_told
        writer.write(reply_of(status, WEB_PAGE) + (GOOD if status in INTERIM else b"") if not has_told else GOOD)
        has_told = True
        await writer.drain()

    refused = {101, *range(300, 500), 501, 505, 510, 511} - {408, 425, 429, 499}
    wrong: list[str] = []
    async with speaking(speak) as url, session_on(url) as session:
        await ask(session)
        for status in range(1_000):
            has_told = False
            try:
                await ask(session)
                passes, told = True, ""
            except NxcdrError as error:
                passes, told = False, str(error)
            names = f"(HTTP {status}" in told
            if passes != (status not in refused) or names == passes:
                wrong.append(f"{status}: {told}")
    assert not wrong


@pytest.mark.parametrize("status", [0, 99, 302, 403, 404, 408, 418, 425, 429, 451, 500, 503, 520, 600, 999])
async def test_a_status_without_success_is_not_believed_whatever_the_body_says(status: int) -> None:
    error, _ = await answers_to(reply_of(status, NOTHING_FOUND))
    assert isinstance(error, GatewayError)
    assert error.http_status == status


@pytest.mark.parametrize("status", [404, 429, 502, 511])
async def test_a_status_is_called_by_its_name(status: int) -> None:
    error, _ = await answers_to(reply_of(status, WEB_PAGE))
    assert f"no readable answer, but {HTTPStatus(status).phrase} (HTTP {status}" in str(error)


@pytest.mark.parametrize("status", [200, 201, 203, 205, 250, 299])
async def test_a_success_is_believed_by_its_body(status: int) -> None:
    found, _ = await answers_to(reply_of(status, NOTHING_FOUND))
    assert found == []


@pytest.mark.parametrize("status", [206, 226])
async def test_a_part_of_an_answer_is_never_taken_for_the_whole(status: int) -> None:
    error, asked = await answers_to(reply_of(status, NOTHING_FOUND, "Content-Range: bytes 0-99/200"))
    assert isinstance(error, MalformedReplyError)
    assert f"only a part of an answer (HTTP {status})" in str(error)
    assert asked == 3


@pytest.mark.parametrize("status", [204, 205])
async def test_a_reply_without_a_body_says_what_its_status_is(status: int) -> None:
    error, asked = await answers_to(reply_of(status, b""))
    assert f"empty, as its status says (HTTP {status})" in str(error)
    assert asked <= 3


@pytest.mark.parametrize("status", [100, 102, 103, 199])
@pytest.mark.parametrize("times", [1, 20])
async def test_interim_replies_come_before_the_final_one(status: int, times: int) -> None:
    found, _ = await answers_to(reply_of(status, b"", "Link: </style.css>; rel=preload") * times + GOOD)
    assert found == []


async def test_an_interim_reply_alone_is_no_reply() -> None:
    error, _ = await answers_to(reply_of(103, b""))
    assert "no whole reply" in str(error)


async def test_a_length_without_a_body_is_a_reply_cut_off() -> None:
    error, _ = await answers_to(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\nConnection: close\r\n\r\n")
    assert "the body was cut off" in str(error)


@pytest.mark.parametrize("line", ["HTTP/1.1 abc Y", "HTTP/1.1 20 Y", "HTTP/1.1 2000 Y", "HTTP/9.9 200 Y", "gateway"])
async def test_what_is_no_status_line_is_no_http(line: str) -> None:
    error, _ = await answers_to(f"{line}\r\nContent-Length: 0\r\n\r\n".encode())
    assert "what it sent is not HTTP as it should be" in str(error)


@pytest.mark.parametrize("status", [404, 408, 429, 503])
@pytest.mark.parametrize("pause", ["86400", "Fri, 31 Dec 2999 23:59:59 GMT", "9" * 30, "400.5"])
async def test_a_pause_too_long_is_told_whatever_the_status(status: int, pause: str) -> None:
    error, asked = await answers_to(reply_of(status, WEB_PAGE, f"Retry-After: {pause}"))
    assert isinstance(error, GatewayError)
    assert error.retry_after is not None
    assert error.retry_after > 300
    assert "it asks for a pause of" in str(error)
    assert asked == 1


@pytest.mark.parametrize("pause", ["", "-1", "soon", "inf", "nan", "1e3", "3, 4", "²", "120;x=y", "1.2.3", "."])
async def test_a_pause_that_says_nothing_is_none(pause: str) -> None:
    told = f"Retry-After: {pause}".encode().decode("latin-1")
    found, asked = await answers_to(reply_of(503, WEB_PAGE, told), GOOD)
    assert found == []
    error, _ = await answers_to(reply_of(404, WEB_PAGE, told))
    assert isinstance(error, GatewayError)
    assert error.retry_after is None
    assert asked > 1


@pytest.mark.parametrize("status", [408, 425, 500, 503, 429])
async def test_what_may_pass_is_an_error_of_its_kind_if_it_does_not(status: int) -> None:
    error, asked = await answers_to(reply_of(status, WEB_PAGE))
    assert isinstance(error, ThrottledError if status == 429 else ServerError)
    assert asked == error.attempts > 10
