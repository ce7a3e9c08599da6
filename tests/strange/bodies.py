"""Bodies of replies as no gateway should send them: genuine ones, bent, cut, spliced and made up, from a seed."""

import copy
import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from nxcdr_async import NxcdrError, RecordError, make_converter
from nxcdr_async._util.redaction import Redactor
from nxcdr_async.protocol.endpoints import ENDPOINTS
from nxcdr_async.protocol.filter_check import FilterCheck
from nxcdr_async.protocol.responses import Page, Response, WireRow, parse_page, plain_page
from nxcdr_async.protocol.wire_rows import PageDecoder, columns_of, extras_of
from nxcdr_async.records.columns import ColumnConverter, records_from
from nxcdr_async.records.converter import structure_row
from nxcdr_async.testing import CallHistory
from nxcdr_async.testing.emulator.replies import answer
from tests.strange.server import APIS

SAMPLES = Path(__file__).parent.parent / "samples"
CONVERTER = make_converter()
ENDPOINT = {endpoint.name: endpoint for endpoint in ENDPOINTS}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e300),
    *("", "0", "1", " 1", "-1", "NaN", "1e400", "x" * 1000, "\x00", "\u202e", "\u0660", "true", "2026-01-01 00:00:00"),
    *([], {}, [[]], [None], {"a": {}}, {"": ""}, {"list": []}),
]
ODD_JSON = [
    *("1e400", "-1e400", "1E-400", "1e999999999", "NaN", "Infinity", "1" * 5000, "1" * 400, "[" * 3000),
    *('"\\ud83d"', "\\", '"a\tb"', '"a"b"', "[1}", '{"a": 1'),
]
_LONG_NUMBER = re.compile(rb"\d{4300}")
"""A number Python does not read."""

STATUSES = [200] * 12 + [201, 204, 302, 400, 429, 500, 503]


@cache
def genuine(api: str) -> tuple[bytes, ...]:
    """Return genuine replies of an API: the vendor's samples and some of the emulator's."""
    history = CallHistory(200)
    if api == "did":
        rows = list(history.did_calls())
        data = {"totalRow": len(rows), "totalPage": 1, "list": rows}
        return (SAMPLES / "did_cdr.json").read_bytes(), answer("did", data).body
    if api == "flash":
        return (SAMPLES / "flash_list.json").read_bytes(), answer("flash", list(history.flash_calls())).body
    rows = list(history.calls())[:30]
    sample = "cdr_page.json" if api == "calls" else "order.json"
    return (SAMPLES / sample).read_bytes(), answer("call center", rows).body


def strange_body(api: str, chance: random.Random) -> bytes:
    """Return a body, strange in one or several ways."""
    body = chance.choice(genuine(api))
    if chance.random() < 0.6:
        body = _bent(body, chance)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 5])):
        body = chance.choice(WAYS)(body, chance)
    return body


def _bent(body: bytes, chance: random.Random) -> bytes:
    """Change values, wherever they stand, and write it all anew."""
    tree = json.loads(body)
    for _ in range(chance.choice([1, 1, 2, 6])):
        holder = tree
        # Down to some leaf, and whatever is met on the way may be what is changed.
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.8:
                holder = holder[key]
                continue
            _change(holder, key, chance)
            break
    return json.dumps(tree, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _change(holder: Any, key: Any, chance: random.Random) -> None:
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2:
            holder[key] = str(holder[key])
        case 3 if isinstance(holder, dict):
            holder[f"{key}X"] = holder.pop(key)
        case _:
            holder[key] = copy.deepcopy(chance.choice(ODD))


def _flip(body: bytes, chance: random.Random) -> bytes:
    turned = bytearray(body)
    for _ in range(chance.choice([1, 1, 3, 20])):
        if turned:
            turned[chance.randrange(len(turned))] ^= 1 << chance.randrange(8)
    return bytes(turned)


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _splice(body: bytes, chance: random.Random) -> bytes:
    other = chance.choice(genuine(chance.choice(APIS)))
    start = chance.randrange(len(other))
    at = chance.randrange(len(body) + 1)
    return body[:at] + other[start : start + chance.randrange(200)] + body[at + chance.randrange(50) :]


def _replace_value(body: bytes, chance: random.Random) -> bytes:
    """Put something that JSON may or may not have in the place of a value."""
    at = body.find(b": ", chance.randrange(len(body) + 1))
    at = at + 2 if at >= 0 else body.find(b":") + 1
    end = min((place for mark in b",}" if (place := body.find(bytes([mark]), at)) >= 0), default=len(body))
    return body[:at] + chance.choice(ODD_JSON).encode() + body[end:]


def _repack(body: bytes, chance: random.Random) -> bytes:
    encoding = chance.choice(["utf-8-sig", "utf-16", "latin-1"])
    return body.decode("utf-8", "replace").encode(encoding, "replace")


def _noise(_: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 10, 1000]))


WAYS = [_flip, _flip, _cut, _splice, _splice, _replace_value, _replace_value, _repack, _noise]


def read_both_ways(api: str, body: bytes, status: int) -> str:
    """Read a body on the quick way and on the plain one, check that they tell the same, and say how it ended.

    Raises:
        AssertionError: they do not agree.
        Exception: an error that is none of ours, which nothing may raise.
    """
    plain = _outcome(api, body, status, quick=False)
    quick = _outcome(api, body, status, quick=True)
    assert quick == plain or _may_be_unread(body, plain[0]), (api, body)
    return plain[0]


def _may_be_unread(body: bytes, plain: str) -> bool:
    """Return whether what the plain way refused may stand where the quick way does not look: in a key of no use."""
    return plain == "MalformedReplyError" and bool(_LONG_NUMBER.search(body) or not _is_text(body))


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _outcome(api: str, body: bytes, status: int, *, quick: bool) -> tuple[str, Any]:
    endpoint = ENDPOINT[api]
    try:
        response = Response(status, {}, body)
        is_quick = quick and api in {"calls", "order"}
        page = (plain_page(response, PageDecoder(endpoint).page) if is_quick else None) or parse_page(
            response,
            rows_at=endpoint.rows_at,
            codes=endpoint.codes,
            now=0.0,
            redactor=Redactor(("secret",)),
        )
    except NxcdrError as error:
        return type(error).__name__, str(error)
    FilterCheck().check(page)
    records = _by_columns(endpoint, page) if quick else [_record(endpoint, row) for row in page.rows]
    return "page", (page.is_vague, page.total_rows, [endpoint.row_key(row) for row in page.rows], records)


def _by_columns(endpoint: Any, page: Page) -> list[str]:
    if not page.rows:
        return []
    columns = ColumnConverter(endpoint.record_class, CONVERTER)
    values, to_judge = columns.values(columns_of(page.rows, columns.keys), extras_of(page.rows, columns.keys))
    records = records_from(values)
    return [
        _record(endpoint, row.as_dict() if isinstance(row, WireRow) else row)
        if place in to_judge
        else _told(records[place])
        for place, row in enumerate(page.rows)
    ]


def _record(endpoint: Any, row: Any) -> str:
    try:
        plain = row.as_dict() if isinstance(row, WireRow) else row
        return _told(structure_row(CONVERTER, plain, endpoint.record_class))
    except RecordError as bad:
        return f"{bad} {bad.path}"


def _told(record: Any) -> str:
    # In which order unknown keys stand is nothing that a record tells.
    return repr({**attrs.asdict(record), "extra": sorted(record.extra.items())})
