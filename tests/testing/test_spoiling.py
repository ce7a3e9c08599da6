"""Rows that the emulator spoils, and bodies in other charsets."""

import json
from typing import Any

import pytest

from nxcdr_async.testing import ROW_FAULT_KINDS, Gateway, Switches
from nxcdr_async.testing.emulator.spoiling import row_fault

WHOLE = {"nan", "tab"}
"""Kinds that Python's own decoder reads, if it is not strict."""


async def rows_of(client: Any) -> list[dict[str, Any]]:
    body = (await client.calls(size=100)).body
    found: list[dict[str, Any]] = json.loads(body, strict=False)["data"]
    return found


@pytest.mark.parametrize("kind", sorted(WHOLE))
async def test_a_share_of_rows_is_spoiled_and_always_the_same(client: Any, gateway: Gateway, kind: Any) -> None:
    plain = await rows_of(client)
    gateway.switches.row_faults, gateway.switches.row_fault_rate = [kind], 0.2
    spoiled = await rows_of(client)
    assert [{key: row[key] for key in row if key != "remark"} for row in spoiled] == plain
    told = ["remark" in row for row in spoiled]
    assert told == [row_fault(row, gateway.switches) == kind for row in plain]
    assert 5 <= sum(told) <= 40
    assert ["remark" in row for row in await rows_of(client)] == told


@pytest.mark.parametrize(("kind", "part"), [("bad-utf8", b"half a \xe7\x89"), ("broken", b'a 5" screen')])
async def test_what_cannot_be_read_is_there(client: Any, gateway: Gateway, kind: Any, part: bytes) -> None:
    gateway.switches.row_faults, gateway.switches.row_fault_rate = [kind], 1.0
    assert (await client.calls(size=10)).body.count(part) == 10


async def test_without_a_rate_no_row_is_spoiled(client: Any, gateway: Gateway) -> None:
    gateway.switches.row_faults = list(ROW_FAULT_KINDS)
    assert not [row for row in await rows_of(client) if "remark" in row]


@pytest.mark.parametrize("charset", ["gbk", "latin-1", "utf-16", "utf-8-sig"])
async def test_a_body_comes_in_its_charset_and_says_so(client: Any, gateway: Gateway, charset: str) -> None:
    gateway.switches.extra_keys = {"remark": "牛 é"}
    plain = await rows_of(client)
    gateway.switches.charset = charset
    reply = await client.calls(size=100)
    assert reply.headers["Content-Type"] == f"application/json;charset={charset}"
    assert json.loads(reply.body.decode(charset))["data"] == plain


async def test_a_header_may_say_another_charset(client: Any, gateway: Gateway) -> None:
    gateway.switches.charset, gateway.switches.declared_charset = "gbk", "martian"
    assert (await client.calls()).headers["Content-Type"] == "application/json;charset=martian"


@pytest.mark.parametrize(
    ("switch", "value", "reason"),
    [
        ("row_faults", ["earthquake"], "earthquake"),
        ("row_fault_rate", 1.5, "give a share from 0 to 1"),
        ("row_fault_rate", "all", "give a share from 0 to 1"),
        ("charset", "martian", "give a charset that Python knows"),
        ("charset", "zip", "give a charset that Python knows"),
        ("charset", None, "give a charset that Python knows"),
        ("declared_charset", "a\nb", "give what the header is to say"),
    ],
)
def test_a_value_that_cannot_work_is_refused(switch: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        setattr(Switches(), switch, value)
