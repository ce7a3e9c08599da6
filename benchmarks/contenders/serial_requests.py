"""The vendor's way: one loop with `requests`, page after page of the whole range until one is short.

Their samples post with `requests.post`; this keeps one `requests.Session`, as anybody would after a first look, so that
it does not pay for a new connection each time. Rows are looked at page by page and dropped.
"""

from collections.abc import Mapping

import requests
from shared.by_hand import PAGE_SIZE, PATH, question, signed_headers
from shared.emulation import Told


def read(
    told: Told,
    at_once: int | None,  # noqa: ARG001 - a loop has one request at once
    *,
    timeout: float = 30,
    filters: Mapping[str, int] | None = None,
) -> list[str]:
    """Read all calls, or those the filters let through; return their ids as they came.

    Args:
        told: where the gateway is, and the range.
        at_once: of no use to a loop.
        timeout: seconds a reply may take.
        filters: parameters of cdr/page besides the range.
    """
    ids: list[str] = []
    page = 1
    with requests.Session() as http:
        while True:
            body = question(told.start, told.end, page, **(filters or {}))
            reply = http.post(told.gateway + PATH, data=body, headers=signed_headers(told, body), timeout=timeout)
            reply.raise_for_status()
            rows = reply.json()["data"]
            ids += [row["callId"] for row in rows if row["startTime"]]
            if len(rows) < PAGE_SIZE:
                return ids
            page += 1
