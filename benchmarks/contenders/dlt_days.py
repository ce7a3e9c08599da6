"""The data engineer's way: dlt's `rest_client`, a resource a day, read in parallel.

`RESTClient` with dlt's own `PageNumberPaginator`, which counts up a key of the JSON body and stops at an empty page;
the signature in an `AuthConfigBase`, which dlt calls for each request it is about to send; one `parallelized` resource
a day. It is given as many workers as the SDK has requests at once, where dlt by itself takes five. Extraction only: the
source is iterated and nothing is normalized or loaded, which dlt would do next; `peers.py` turns its telemetry off.
"""

import dlt
from dlt.extract import DltResource
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import AuthConfigBase
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from requests import PreparedRequest
from shared.by_hand import PAGE_SIZE, PATH, days_of, signed_headers
from shared.emulation import Told


class SignedByKeyPair(AuthConfigBase):
    """Signs each request when it is sent."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the headers that the vendor wants."""
        body = request.body or b""
        request.headers.update(signed_headers(self.told, body.encode() if isinstance(body, str) else body))
        return request


def day_resource(told: Told, start: int, end: int) -> DltResource:
    """Return the resource that reads one day."""

    def pages():  # noqa: ANN202 - dlt makes a resource of it
        client = RESTClient(
            base_url=told.gateway,
            auth=SignedByKeyPair(told),
            paginator=PageNumberPaginator(base_page=1, page_param=None, page_body_path="page", total_path=None),
            data_selector="data",
        )
        yield from client.paginate(
            PATH, method="POST", json={"startTime": start, "endTime": end, "size": PAGE_SIZE, "page": 1}
        )

    return dlt.resource(pages, name=f"calls_{start}", parallelized=True)


@dlt.source
def calls(told: Told):  # noqa: ANN201 - dlt makes a source of it
    """All days of the range."""
    return [day_resource(told, start, end) for start, end in days_of(told)]


def read(told: Told, at_once: int | None) -> list[str]:
    """Read all calls; return their ids as they came."""
    if at_once is not None:
        dlt.config["extract.workers"] = at_once
    return [row["callId"] for row in calls(told) if row["startTime"]]
