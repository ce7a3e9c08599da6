"""The vendor's way: one loop with `requests`, page after page of the whole range until one is short.

Their samples post with `requests.post`; this keeps one `requests.Session`, as anybody would after a first look, so that
it does not pay for a new connection each time. Rows are looked at page by page and dropped.
"""

import requests
from shared.by_hand import PAGE_SIZE, PATH, question, signed_headers
from shared.emulation import Told


def read(told: Told, at_once: int | None, *, timeout: float = 30) -> list[str]:  # noqa: ARG001 - a loop has one request at once
    """Read all calls; return their ids as they came. `timeout` is the seconds a reply may take."""
    ids: list[str] = []
    page = 1
    with requests.Session() as http:
        while True:
            body = question(told.start, told.end, page)
            reply = http.post(told.gateway + PATH, data=body, headers=signed_headers(told, body), timeout=timeout)
            reply.raise_for_status()
            rows = reply.json()["data"]
            ids += [row["callId"] for row in rows if row["startTime"]]
            if len(rows) < PAGE_SIZE:
                return ids
            page += 1
