"""Rows as the vendor's newest servers send them, made of those of the emulator, which are plainer. Pure."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

UNKNOWN_KEYS = {"skillGroup": "售后服务", "satisfaction": 5}
"""What no record has an attribute for."""

_BYTES_OF_ID = 58
_PAGE = 100


def wild(_rank: int, row: Row) -> Row:
    """Return a row with all that such rows have: long ids, no addresses, prices as text, and keys nobody knows."""
    name = row["agentName"] if row.get("agentName") else None
    return {
        **row,
        "callId": b64encode(hashlib.sha512(row["callId"].encode()).digest()[:_BYTES_OF_ID]).decode(),
        "agentName": name and f"{name.split('@')[0].lower()}@example.com",
        "agentNickName": name and "客服坐席 María",
        "totalCustomerPrice": f"{Decimal(row['totalCustomerPrice']):.8f}",
        "lineIp": "43.134.225.234",
        "mediaIp": "",
        "termSipCode": 200 if row["answered"] else 487,
        "hangupCause": "NORMAL_CLEARING" if row["answered"] else "ORIGINATOR_CANCEL",
        "mos": 4.35,
        **UNKNOWN_KEYS,
    }


def odd(rank: int, row: Row) -> Row:
    """Return a wild row; one in each hundred has a number as text, which a fast way of decoding may not take."""
    row = wild(rank, row)
    return row if rank % _PAGE else {**row, "callDuration": str(row["callDuration"])}


SHAPES: dict[str, Callable[[int, Row], Row]] = {"wild": wild, "odd": odd}
