"""A request of cdr/page by hand, as the vendor's page on the call convention describes it.

It shares no code with the SDK, so nothing the SDK does well or badly is counted for or against whoever reads by hand.
"""

import hashlib
import json
import time

from shared.emulation import Told

PATH = "/saas/cc/openapi/cdr/page"
PAGE_SIZE = 100
"""The most rows the vendor answers with at once."""


def question(start: int, end: int, page: int, **filters: int) -> bytes:
    """Return the body that asks for a page of a range in epoch seconds, and for what the filters let through alone."""
    return json.dumps({"startTime": start, "endTime": end, "size": PAGE_SIZE, "page": page, **filters}).encode()


def signed_headers(told: Told, body: bytes) -> dict[str, str]:
    """Return the headers of a request that is sent at once."""
    ts = str(int(time.time() * 1000))
    text = f"accessKey={told.access_key}&action=cc&bizType=8&ts={ts}&body="
    secret = f"&accessSecret={told.access_secret}"
    return {
        "accessKey": told.access_key,
        "ts": ts,
        "bizType": "8",
        "action": "cc",
        "sign": hashlib.md5(text.encode() + body + secret.encode()).hexdigest(),
        "Content-Type": "application/json",
    }


def days_of(told: Told) -> list[tuple[int, int]]:
    """Return the UTC days of the range, each from its midnight to the next."""
    day = 86_400
    first = told.start // day * day
    return [(midnight, midnight + day) for midnight in range(first, told.end, day)]
