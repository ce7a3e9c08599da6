"""What becomes of pushes, under each of the servers."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest

from nxcdr_async import CallRecord, Credentials, Direction
from nxcdr_async.webhook import call_push_app
from tests.webhook.pushing import (
    PAIR,
    PARTIAL,
    TOKEN,
    Desk,
    a_call,
    raw_connection,
    raw_head,
    signed_headers,
    token_headers,
    under_uvicorn,
)

BODY = a_call()


async def post(http: httpx.AsyncClient, address: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    return await http.post(address, content=body, headers=headers)


async def reply_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one reply from a raw connection."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    status = int(head.split()[1])
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
    return status, head + await reader.readexactly(length)


async def test_a_push_with_the_token_becomes_a_call(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, address, json.dumps(PARTIAL).encode(), token_headers())
    assert (reply.status_code, reply.json()) == (200, {"result": "taken"})
    (call,) = desk.calls
    assert call.call_id == PARTIAL["callId"]
    assert call.start_time == datetime(2023, 7, 27, 7, 21, 32, 841000, UTC)
    assert (call.answered, call.hangup_code, call.record_url, call.answer_time) == (None, None, None, None)
    assert (call.direction, call.task_id) == (Direction.OUTBOUND, "1234567890123456789")


async def test_money_stays_exact(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    body = b'{"callId": "a", "startTime": 1690442492841, "totalCustomerPrice": 0.12345678901234567890}'
    await post(http, address, body, token_headers())
    assert desk.calls[0].total_customer_price == Decimal("0.12345678901234567890")


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_a_signed_push_becomes_a_call(serve: Any, http: Any, desk: Desk, algorithm: Any) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    headers = signed_headers(BODY, attrs.evolve(PAIR, algorithm=algorithm))
    assert (await post(http, address, BODY, headers)).status_code == 200
    assert desk.ids == ["call-1"]


@pytest.mark.parametrize("token", ["wrong", "", TOKEN.upper(), "tökén\udcff"])
async def test_a_wrong_token_is_refused(serve: Any, http: Any, desk: Desk, token: str) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    headers: dict[Any, Any] = {"Content-Type": "application/json", b"token": token.encode(errors="surrogateescape")}
    reply = await post(http, address, BODY, headers)
    assert (reply.status_code, reply.json()) == (401, {"error": f"token is {'wrong' if token else 'empty'}"})
    assert reply.headers["www-authenticate"]
    assert not desk.begun


async def test_two_tokens_are_refused_though_one_is_right(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head({"token": TOKEN, "Token": "x", "Content-Length": str(len(BODY))}) + BODY)
        status, text = await reply_of(reader)
    assert status == 401
    assert b"more than once" in text
    assert not desk.begun


async def test_a_push_without_a_token_is_refused(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, address, BODY, {"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()) == (401, {"error": "there is no header token"})


async def test_a_forged_signature_is_refused(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    forged = signed_headers(BODY, Credentials(PAIR.access_key, "guessed"))
    assert (await post(http, address, BODY, forged)).status_code == 401
    assert not desk.begun


async def test_a_changed_body_is_refused(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    assert (await post(http, address, BODY + b" ", signed_headers(BODY))).status_code == 401
    assert not desk.begun


@pytest.mark.parametrize(("seconds", "status"), [(-62, 401), (-57, 200), (57, 200), (62, 401)])
async def test_a_timestamp_counts_for_a_minute(serve: Any, http: Any, desk: Desk, seconds: float, status: int) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    assert (await post(http, address, BODY, signed_headers(BODY, seconds=seconds))).status_code == status
    assert desk.begun == (status == 200)


@pytest.mark.parametrize(
    "changes",
    [{"bizType": "6"}, {"action": "cc"}, {"algorithm": "sha1"}, {"ts": "soon"}, {"ts": "9" * 5_000}, {"sign": ""}],
)
async def test_headers_that_are_no_push_of_ours_are_refused(
    serve: Any, http: Any, desk: Desk, changes: dict[str, str]
) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    assert (await post(http, address, BODY, signed_headers(BODY, **changes))).status_code == 401
    assert not desk.begun


async def test_with_both_modes_a_wrong_signature_is_never_mended_by_the_token(
    serve: Any, http: Any, desk: Desk
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, credentials=PAIR))
    forged = signed_headers(BODY, sign="0" * 32) | token_headers()
    assert (await post(http, address, BODY, forged)).status_code == 401
    assert (await post(http, address, BODY, token_headers())).status_code == 200
    other = a_call("call-2")
    assert (await post(http, address, other, signed_headers(other) | {"token": "old"})).status_code == 200
    assert desk.ids == ["call-1", "call-2"]


async def test_the_same_signed_push_again_is_acknowledged_but_goes_no_further(
    serve: Any, http: Any, desk: Desk
) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR, once_within=timedelta(0)))
    headers = signed_headers(BODY)
    replies = [(await post(http, address, BODY, headers)).json() for _ in range(2)]
    assert replies == [{"result": "taken"}, {"result": "known already"}]
    assert desk.ids == ["call-1"]
    later = signed_headers(BODY, seconds=1)
    assert (await post(http, address, BODY, later)).json() == {"result": "taken"}


@pytest.mark.parametrize("headers_of", [lambda _: token_headers(), signed_headers], ids=["token", "signed"])
async def test_a_fuller_or_changed_push_of_a_call_goes_on_and_an_equal_or_poorer_one_does_not(
    serve: Any, http: Any, desk: Desk, headers_of: Any
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, credentials=PAIR))
    fuller, changed = a_call(hangupCode=1001, newKey={"b": [1], "a": 2}), a_call(callDuration=8)
    reordered = json.dumps(dict(reversed(json.loads(fuller).items())), indent=1).encode()
    sent = [BODY, BODY, fuller, reordered, BODY, changed, fuller, changed]
    told = [(await post(http, address, body, headers_of(body))).json()["result"] for body in sent]
    known = "known already"
    assert told == ["taken", known, "taken", known, known, "taken", known, known]
    assert [(call.hangup_code, call.call_duration) for call in desk.calls] == [(None, 7), (1001, 7), (None, 8)]


async def test_a_poorer_push_that_comes_first_does_not_hide_the_fuller_one_that_failed(
    serve: Any, http: Any, desk: Desk
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    fuller = a_call(hangupCode=1001)
    desk.faults = [RuntimeError("once")]
    sent = [fuller, BODY, fuller, BODY]
    statuses = [(await post(http, address, body, token_headers())).status_code for body in sent]
    assert statuses == [500, 200, 200, 200]
    assert [call.hangup_code for call in desk.calls] == [None, 1001]


async def test_a_replayed_push_is_known_however_its_signature_is_spelled(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR, once_within=timedelta(0)))
    headers = signed_headers(BODY)
    assert (await post(http, address, BODY, headers)).json() == {"result": "taken"}
    spelled = {**headers, "sign": headers["sign"].upper()}
    assert (await post(http, address, BODY, spelled)).json() == {"result": "known already"}


@pytest.mark.parametrize(("algorithm", "name"), [("md5", "MD5"), ("sha256", "SHA256"), ("sha256", "Sha256")])
async def test_upper_case_makes_no_difference_to_a_signature(
    serve: Any, http: Any, desk: Desk, algorithm: Any, name: str
) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    headers = signed_headers(BODY, attrs.evolve(PAIR, algorithm=algorithm))
    spelled = {**headers, "sign": headers["sign"].upper(), "algorithm": name}
    assert (await post(http, address, BODY, spelled)).status_code == 200
    assert desk.ids == ["call-1"]


async def test_a_replay_a_minute_later_is_refused(serve: Any, http: Any, desk: Desk) -> None:
    ahead = 0.0
    start = datetime.now(UTC).timestamp()
    app = call_push_app(desk.take, credentials=PAIR, once_within=timedelta(0), now=lambda: start + ahead)
    address = await serve(app)
    headers = signed_headers(BODY)
    assert (await post(http, address, BODY, headers)).status_code == 200
    ahead = 62.0
    assert (await post(http, address, BODY, headers)).status_code == 401
    assert desk.ids == ["call-1"]


async def test_a_push_that_comes_again_is_no_news_for_a_while(serve: Any, http: Any, desk: Desk) -> None:
    ahead = 0.0
    app = call_push_app(desk.take, token=TOKEN, once_within=timedelta(minutes=5), now=lambda: 1e9 + ahead)
    address = await serve(app)
    came: dict[float, int] = {}
    for ahead in (0.0, 299.0, 301.0):
        await post(http, address, BODY, token_headers())
        came[ahead] = len(desk.calls)
    assert came == {0.0: 1, 299.0: 1, 301.0: 2}


@pytest.mark.parametrize("signs", [True, False])
async def test_a_push_whose_callback_failed_may_come_again(
    serve: Any, http: Any, desk: Desk, signs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, credentials=PAIR))
    desk.faults = [OSError("the database is away")]
    headers = signed_headers(BODY) if signs else token_headers()
    failed = await post(http, address, BODY, headers)
    assert failed.status_code == 500
    assert "database" not in failed.text
    assert "the database is away" in caplog.text
    assert "in take" in caplog.text  # the traceback leads to the user's own line
    assert (await post(http, address, BODY, headers)).status_code == 200
    assert desk.ids == ["call-1"]


async def test_a_callback_that_takes_too_long_is_cancelled_and_a_500(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, timeout=0.2))
    desk.go_on.clear()
    assert (await post(http, address, BODY, token_headers())).status_code == 500
    desk.go_on.set()
    assert (desk.begun, desk.at_once, desk.calls) == (1, 0, [])
    assert (await post(http, address, BODY, token_headers())).status_code == 200


async def test_a_callback_that_swallows_its_cancellation_took_too_long_nevertheless(serve: Any, http: Any) -> None:
    async def give_up(_: CallRecord) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    address = await serve(call_push_app(give_up, token=TOKEN, timeout=0.2))
    assert (await post(http, address, BODY, token_headers())).status_code == 500


async def test_a_callback_that_waits_for_something_cancelled_has_failed(
    serve: Any, http: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait_for_cancelled(_: CallRecord) -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    address = await serve(call_push_app(wait_for_cancelled, token=TOKEN))
    assert (await post(http, address, BODY, token_headers())).status_code == 500
    assert "on_call failed" in caplog.text


async def test_a_callback_that_is_no_coroutine_function_is_told_so(
    serve: Any, http: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[CallRecord] = []
    address = await serve(call_push_app(calls.append, token=TOKEN))  # type: ignore[arg-type]
    assert (await post(http, address, BODY, token_headers())).status_code == 500
    assert "make it an async def" in caplog.text


async def test_200_comes_only_after_the_callback(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    desk.go_on.clear()
    asked = asyncio.create_task(post(http, address, BODY, token_headers()))
    await desk.has_begun()
    assert not asked.done()
    desk.go_on.set()
    assert (await asked).status_code == 200


async def test_doubles_at_the_same_time_reach_the_callback_once(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    desk.go_on.clear()
    asked = [asyncio.create_task(post(http, address, BODY, token_headers())) for _ in range(5)]
    other = asyncio.create_task(post(http, address, a_call("call-2"), token_headers()))
    await desk.has_begun(2)
    desk.go_on.set()
    assert [(await task).status_code for task in [*asked, other]] == [200] * 6
    assert sorted(desk.ids) == ["call-1", "call-2"]


async def test_when_the_first_of_doubles_fails_the_next_tries_itself(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    desk.faults = [RuntimeError("once"), RuntimeError("twice")]
    replies = await asyncio.gather(*(post(http, address, BODY, token_headers()) for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 500, 500]
    assert desk.ids == ["call-1"]
    assert (desk.begun, desk.most_at_once) == (3, 1)


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head(token_headers() | {"Content-Length": "65537"}))
        status, _ = await reply_of(reader)
    assert status == 413
    assert not desk.begun


async def test_a_body_that_grows_too_large_is_refused_on_its_way(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, largest_body=1_000))
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head(token_headers() | {"Transfer-Encoding": "chunked"}))
        for _ in range(3):
            writer.write(b"190\r\n" + b" " * 400 + b"\r\n")
        status, _ = await reply_of(reader)
        assert status == 413
    assert not desk.begun


async def test_whoever_sends_far_too_much_still_gets_the_answer(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    assert (await post(http, address, b"x" * 5_000_000, token_headers())).status_code == 413


async def test_a_body_of_exactly_the_limit_is_taken(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, largest_body=len(BODY)))
    assert (await post(http, address, BODY + b" ", token_headers())).status_code == 413
    assert (await post(http, address, BODY, token_headers())).status_code == 200


async def test_chunks_become_one_body(serve: Any, http: Any, desk: Desk) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes([byte])

    address = await serve(call_push_app(desk.take, credentials=PAIR))
    assert (await post(http, address, chunks(), signed_headers(BODY))).status_code == 200
    assert desk.ids == ["call-1"]


async def test_a_body_that_comes_too_slowly_is_refused(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, timeout=0.2))
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head(token_headers() | {"Content-Length": "100"}) + b'{"callId":')
        status, text = await reply_of(reader)
    assert status == 408
    assert b"connection: close" in text.lower()
    assert not desk.begun


async def test_a_sender_who_goes_away_in_the_middle_reaches_nobody(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    # The bytes that came are a whole call; there were to be more of them.
    async with raw_connection(address) as (_, writer):
        writer.write(raw_head(token_headers() | {"Content-Length": str(len(BODY) + 1)}) + BODY)
        await writer.drain()
        await asyncio.sleep(0.1)
    assert (await post(http, address, a_call("call-2"), token_headers())).status_code == 200
    assert desk.ids == ["call-2"]
    assert "Traceback" not in caplog.text


async def test_a_sender_who_goes_away_in_the_middle_is_logged(
    serve: Any, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    async with raw_connection(address) as (_, writer):
        writer.write(raw_head(token_headers() | {"Content-Length": "500"}) + BODY)
        await writer.drain()
    told = f"a call push was broken off by its sender: {len(BODY)} of 500 bytes of its body came"
    async with asyncio.timeout(10):
        while told not in caplog.text:  # noqa: ASYNC110 - the server may stand in another thread
            await asyncio.sleep(0.01)
    assert not desk.begun


@pytest.mark.parametrize(
    "headers", [token_headers(), signed_headers(BODY), signed_headers(b"")], ids=["token", "signed", "signed empty"]
)
async def test_an_empty_body_is_told_as_that(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, credentials=PAIR))
    reply = await post(http, address, b"", headers)
    assert (reply.status_code, reply.json()) == (400, {"error": "the body is empty: a push is a call as JSON"})
    assert "refused with 400: the body is empty" in caplog.text


@pytest.mark.parametrize("headers", [token_headers(), signed_headers(BODY)], ids=["token", "signed"])
async def test_a_body_that_is_shorter_than_its_length_is_told_as_that(
    http: Any, desk: Desk, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    app = call_push_app(desk.take, token=TOKEN, credentials=PAIR)

    async def cutting(scope: Any, receive: Any, send: Any) -> None:
        """Hand on what comes but for its last bytes, as a broken middleware does."""

        async def cut() -> Any:
            message = await receive()
            return {**message, "body": message["body"][:100]} if message["type"] == "http.request" else message

        await app(scope, cut, send)

    with under_uvicorn(cutting) as address:
        reply = await post(http, address, BODY, headers)
    told = f"the body is shorter than its Content-Length: of {len(BODY)} bytes 100 came"
    assert (reply.status_code, reply.json()) == (400, {"error": told})
    assert told in caplog.text
    assert not desk.begun


async def test_a_slow_body_is_told_with_how_much_of_it_came(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN, timeout=0.2))
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head(token_headers() | {"Content-Length": "100"}) + b'{"callId":')
        _, text = await reply_of(reader)
    assert b"did not come within 0.2 seconds: 10 of 100 bytes came" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sign": ""}, "there is no sign"),
        ({"ts": "", "action": ""}, "there is no ts, no action"),
        ({"bizType": "6"}, "bizType has to be 8"),
        ({"action": "cc"}, "action has to be callback"),
        ({"algorithm": "sha1"}, "algorithm has to be md5 or sha256"),
        ({"ts": "soon"}, "ts has to be a number of epoch milliseconds"),
        ({"ts": "1690442492"}, "as small a number as if in seconds"),
        ({"ts": "1690442492841"}, "seconds behind the time here: 60 are allowed"),
        ({"ts": "4102444800000"}, "seconds ahead of the time here: 60 are allowed"),
        ({"accessKey": "another"}, "accessKey is not the one"),
        ({"sign": "not-hex"}, "hexadecimal digits"),
        ({"sign": "0" * 64}, "sign has 64 digits, and one by md5 has 32"),
        ({"sign": "0" * 32}, "sign is not the signature of this body"),
    ],
    ids=str,
)
async def test_each_fault_of_a_signed_push_is_told_by_its_name(
    serve: Any, http: Any, caplog: pytest.LogCaptureFixture, desk: Desk, changes: dict[str, str], told: str
) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    reply = await post(http, address, BODY, {**signed_headers(BODY, **changes), **changes})
    assert reply.status_code == 401
    assert told in reply.json()["error"]
    assert told in caplog.text


async def test_a_push_of_the_other_mode_is_told_as_that(serve: Any, http: Any, desk: Desk) -> None:
    by_token = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, by_token, BODY, signed_headers(BODY))
    assert reply.json()["error"].endswith("but a signature, which no credentials are known for here")
    signed = await serve(call_push_app(desk.take, credentials=PAIR))
    reply = await post(http, signed, BODY, token_headers())
    assert reply.json()["error"].endswith("its token is not asked for here")


async def test_a_start_in_seconds_is_read_as_what_it_is(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    body = a_call(startTime=1690442492, endTime="1690442499", answerTime=0)
    assert (await post(http, address, body, token_headers())).status_code == 200
    assert desk.calls[0].start_time == datetime(2023, 7, 27, 7, 21, 32, tzinfo=UTC)
    assert desk.calls[0].end_time == datetime(2023, 7, 27, 7, 21, 39, tzinfo=UTC)
    reply = await post(http, address, a_call(startTime=86_400), token_headers())
    assert (reply.status_code, reply.json()["path"]) == (422, "startTime")


@pytest.mark.parametrize(("off", "where"), [(-3_600, "3600 seconds ahead of"), (300, "300 seconds behind")])
async def test_a_clock_here_that_is_off_is_told_once_with_its_offset(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture, off: float, where: str
) -> None:
    app = call_push_app(desk.take, credentials=PAIR, now=lambda: datetime.now(UTC).timestamp() + off)
    address = await serve(app)
    for number in range(6):
        body = a_call(f"call-{number}")
        assert (await post(http, address, body, signed_headers(body, seconds=number))).status_code == 401
    told = [record for record in caplog.records if hasattr(record, "skew_seconds")]
    assert len(told) == 1
    assert abs(vars(told[0])["skew_seconds"] + off) < 10
    assert "NTP" in told[0].getMessage()
    assert where.split()[2] in told[0].getMessage()


async def test_forged_or_old_pushes_tell_nothing_of_the_clock_here(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve(call_push_app(desk.take, credentials=PAIR))
    old = signed_headers(BODY, seconds=-300)
    for number in range(5):
        await post(http, address, BODY, old)
        await post(http, address, BODY, signed_headers(BODY, Credentials("AKpush", "guessed"), seconds=400 + number))
    assert not [record for record in caplog.records if hasattr(record, "skew_seconds")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_post_is_a_push(serve: Any, http: Any, desk: Desk, method: str) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await http.request(method, address, headers=token_headers())
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=UTF-8"}, 200),
        ({"Content-Type": "application/cloudevents+json"}, 200),
        ({"Content-Type": ""}, 200),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "identity"}, 200),
    ],
)
async def test_only_plain_json_is_a_push(
    serve: Any, http: Any, desk: Desk, changes: dict[str, str], status: int
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    assert (await post(http, address, BODY, token_headers() | changes)).status_code == status
    assert desk.begun == (status == 200)


@pytest.mark.parametrize("body", [b"{", b'{"callId": "a"', b"\xff\xfe", b"[" * 60_000, b"null null"])
async def test_what_is_no_json_is_refused(serve: Any, http: Any, desk: Desk, body: bytes) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, address, body, token_headers())
    assert (reply.status_code, reply.json()["error"]) == (400, "the body is not JSON")
    assert reply.json()["detail"].startswith("is not JSON: ")
    assert not desk.begun


@pytest.mark.parametrize(
    ("member", "detail"),
    [
        (b'"mos": NaN', "is NaN, which is no value in JSON"),
        (b'"mos": "a\xffb"', "cannot be read: its byte 2, 0xff, is no text in its charset"),
    ],
    ids=["nan", "bad byte"],
)
async def test_a_value_that_is_no_json_is_told(serve: Any, http: Any, desk: Desk, member: bytes, detail: str) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, address, b'{"callId": "a", "startTime": 1690442492841, %b}' % member, token_headers())
    assert (reply.status_code, reply.json()) == (
        400,
        {"error": "the body is not JSON", "path": "mos", "detail": detail},
    )
    assert not desk.begun


async def test_a_push_in_its_declared_charset_with_a_raw_tab_is_taken(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    body = '{"callId": "a", "startTime": 1690442492841, "agentName": "牛\t小信"}'.encode("gbk")
    headers = token_headers() | {"Content-Type": "application/json;charset=GBK"}
    assert (await post(http, address, body, headers)).status_code == 200
    assert [call.agent_name for call in desk.calls] == ["牛\t小信"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"null", ""),
        (b"[]", ""),
        (b"{}", "callId"),
        (b'{"callId": "a"}', "startTime"),
        (b'{"callId": "a", "startTime": "soon"}', "startTime"),
        (b'{"callId": "", "startTime": 1690442492841}', "callId"),
        (
            b'{"callId": "a", "startTime": 1690442492841, "totalCustomerPrice": 1e999999999999999999999}',
            "totalCustomerPrice",
        ),
    ],
)
async def test_what_cannot_be_a_call_is_refused_with_the_path_of_the_fault(
    serve: Any, http: Any, desk: Desk, body: bytes, path: str
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    reply = await post(http, address, body, token_headers())
    assert (reply.status_code, reply.json()["path"]) == (422, path)
    assert not desk.begun


async def test_a_text_cut_in_the_middle_of_an_emoji_costs_no_call(serve: Any, http: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    body = b'\xef\xbb\xbf{"callId": "a", "startTime": 1690442492841, "agentName": "x\\ud83d"}'
    assert (await post(http, address, body, token_headers())).status_code == 200
    assert desk.calls[0].agent_name == "x\N{REPLACEMENT CHARACTER}"


async def test_the_connection_serves_on_after_a_refusal(serve: Any, desk: Desk) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    length = {"Content-Length": str(len(BODY))}
    async with raw_connection(address) as (reader, writer):
        writer.write(raw_head(token_headers("wrong") | length))
        assert (await reply_of(reader))[0] == 401
        writer.write(BODY)
        writer.write(raw_head(token_headers() | length) + BODY)
        assert (await reply_of(reader))[0] == 200


async def test_no_secret_gets_into_a_log_or_a_reply(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "nxcdr_async")
    caplog.set_level(logging.DEBUG, "uvicorn")
    caplog.set_level(logging.DEBUG, "aiohttp")
    address = await serve(call_push_app(desk.take, token=TOKEN, credentials=PAIR))
    signed = signed_headers(BODY)
    forged = signed_headers(BODY, Credentials(PAIR.access_key, "guessed"))
    hidden = [TOKEN, PAIR.access_secret, "guessed", signed["sign"], forged["sign"], "al1ce", "13800000000"]
    desk.faults = [ValueError("of the user's own")]
    private = a_call("al1ce", startTime="al1ce")
    replies = [
        await post(http, address, BODY, signed),
        await post(http, address, BODY, signed),
        await post(http, address, BODY, forged),
        await post(http, address, BODY, signed | {"ts": "al1ce"}),
        await post(http, address, BODY, token_headers("al1ce")),
        await post(http, address, b"al1ce", token_headers()),
        await post(http, address, private, token_headers()),
        await post(http, address, a_call("al1ce"), token_headers()),
    ]
    assert [reply.status_code for reply in replies] == [500, 200, 401, 401, 401, 400, 422, 200]
    told = caplog.text + "".join(str(vars(record)) for record in caplog.records if record.name == "nxcdr_async")
    assert "startTime" in told
    assert not [secret for secret in hidden if secret in told]
    shown = "".join(reply.text for reply in replies if reply.status_code != 422)
    assert not [secret for secret in hidden if secret in shown]


async def test_each_refusal_is_one_line_with_its_status(
    serve: Any, http: Any, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve(call_push_app(desk.take, token=TOKEN))
    await post(http, address, BODY, token_headers("x"))
    await post(http, address, b'{"callId": "a\\nCRITICAL forged"}', token_headers())
    ours = [record for record in caplog.records if record.name == "nxcdr_async"]
    assert [(record.levelname, vars(record)["http_status"]) for record in ours] == [("WARNING", 401), ("WARNING", 422)]
    assert not [record for record in ours if "\n" in record.getMessage() or "forged" in record.getMessage()]


async def test_a_body_of_any_depth_is_taken_or_refused(desk: Desk) -> None:
    app = call_push_app(desk.take, token=TOKEN)
    statuses = []
    for depth in range(900, 1_100):
        body = b'{"callId": "%d", "startTime": 1690442492841, "x": %b}' % (depth, b"[" * depth + b"]" * depth)
        statuses.append(await straight(app, body, token_headers()))
    assert set(statuses) <= {200, 400}
    assert statuses.count(200) == len(desk.calls)


async def test_a_leader_who_is_cancelled_leaves_its_turn_to_the_next(desk: Desk) -> None:
    app = call_push_app(desk.take, token=TOKEN)
    desk.go_on.clear()
    first, second = (asyncio.create_task(straight(app, BODY, token_headers())) for _ in range(2))
    await desk.has_begun()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert first.cancelled()
    desk.go_on.set()
    assert await asyncio.wait_for(second, 10) == 200
    assert desk.ids == ["call-1"]


def test_a_loop_that_ended_in_the_middle_of_a_turn_does_not_block_the_next(desk: Desk) -> None:
    app = call_push_app(desk.take, token=TOKEN)
    desk.go_on.clear()
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(straight(app, BODY, token_headers()))
    while not desk.begun:
        loop.run_until_complete(asyncio.sleep(0))
    desk.go_on.set()
    assert asyncio.run(asyncio.wait_for(straight(app, BODY, token_headers()), 10)) == 200
    loop.run_until_complete(abandoned)
    loop.close()
    assert asyncio.run(straight(app, BODY, token_headers())) == 200
    assert desk.ids == ["call-1", "call-1"]


async def test_a_push_that_waits_too_long_for_its_turn_is_sent_away(desk: Desk) -> None:
    app = call_push_app(desk.take, token=TOKEN, timeout=0.1)
    desk.go_on.clear()
    statuses = await asyncio.gather(*(straight(app, BODY, token_headers()) for _ in range(6)))
    assert {500, 503} == set(statuses)
    assert desk.at_once == 0


async def straight(app: Any, body: bytes, headers: dict[str, str]) -> int:
    """Send a push to the app in this very loop, and return the status."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        return (await client.post("/", content=body, headers=headers)).status_code
