from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import pytest

from nxcdr_async.config import Credentials
from nxcdr_async.protocol.auth import sign
from nxcdr_async.testing import Gateway

BODY = b'{"startTime":1,"endTime":2,"page":1,"size":1}'


def signed_by(credentials: Credentials, gateway: Gateway, skew_ms: int = 0) -> dict[str, str]:
    ts = str(gateway.clock.now_ms() + skew_ms)
    return {
        "accessKey": credentials.access_key,
        "ts": ts,
        "algorithm": credentials.algorithm,
        "sign": sign(credentials, action="cc", biz_type=8, ts=ts, body=BODY),
    }


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_either_algorithm_is_understood(client: Any, gateway: Gateway, algorithm: str) -> None:
    pair = attrs.evolve(gateway.credentials, algorithm=algorithm)
    assert (await client.post("calls", BODY, signed_by(pair, gateway))).code == 0


@pytest.mark.parametrize("name", ["accessKey", "ts", "bizType", "action", "sign"])
async def test_a_missing_common_header_is_1001(client: Any, name: str) -> None:
    assert (await client.post("calls", BODY, {name: None})).code == 1001


@pytest.mark.parametrize(
    "wrong",
    [{"bizType": "6"}, {"action": "send"}, {"algorithm": "sha1"}, *({"ts": ts} for ts in ("soon", "-1", "9" * 5_000))],
)
async def test_a_wrong_header_is_1002(client: Any, wrong: dict[str, str]) -> None:
    assert (await client.post("calls", BODY, wrong)).code == 1002


async def test_a_wrong_secret_is_1003(client: Any, gateway: Gateway) -> None:
    forged = Credentials(gateway.credentials.access_key, "guessed")
    assert (await client.post("calls", BODY, signed_by(forged, gateway))).code == 1003


async def test_one_more_space_in_the_body_is_1003(client: Any, gateway: Gateway) -> None:
    assert (await client.post("calls", BODY + b" ", signed_by(gateway.credentials, gateway))).code == 1003


async def test_an_upper_case_signature_is_1003(client: Any, gateway: Gateway) -> None:
    headers = signed_by(gateway.credentials, gateway)
    assert (await client.post("calls", BODY, headers | {"sign": headers["sign"].upper()})).code == 1003


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_does_not_say_it_is_json_is_1003(client: Any, content_type: str | None) -> None:
    assert (await client.post("calls", BODY, {"Content-Type": content_type})).code == 1003


async def test_a_charset_beside_json_is_fine(client: Any) -> None:
    assert (await client.post("calls", BODY, {"Content-Type": "application/json; charset=utf-8"})).code == 0


@pytest.mark.parametrize(("skew_ms", "code"), [(-59_000, 0), (59_000, 0), (-61_000, 1004), (61_000, 1004)])
async def test_a_timestamp_more_than_a_minute_off_is_1004(
    client: Any, gateway: Gateway, skew_ms: int, code: int
) -> None:
    assert (await client.post("calls", BODY, signed_by(gateway.credentials, gateway, skew_ms))).code == code


async def test_the_clock_that_counts_is_the_gateways_own(client: Any, gateway: Gateway) -> None:
    headers = signed_by(gateway.credentials, gateway)
    gateway.clock.move(3600)
    refused = await client.post("calls", BODY, headers)
    assert refused.code == 1004
    assert abs(parsedate_to_datetime(refused.headers["Date"]).timestamp() - gateway.clock.now()) < 2
    assert (await client.post("calls", BODY)).code == 0


async def test_an_unknown_key_is_1005(client: Any, gateway: Gateway) -> None:
    assert (await client.post("calls", BODY, signed_by(Credentials("stranger", "x"), gateway))).code == 1005


async def test_a_valid_pair_without_rights_is_1005(client: Any, gateway: Gateway) -> None:
    assert (await client.post("calls", BODY, signed_by(gateway.credentials_without_rights, gateway))).code == 1005


async def test_refusals_come_with_http_200_and_an_explanation(client: Any) -> None:
    refused = await client.post("calls", BODY, {"sign": "0" * 32})
    assert (refused.status, refused.json["data"], refused.json["msg"]) == (200, {}, "签名错误")
    assert len(refused.json["reqId"]) == 32


async def test_a_body_that_is_no_object_is_refused_like_an_empty_one(client: Any) -> None:
    assert (await client.post("calls", b"[1]")).code == 41000
