"""Every name this package gives OpenTelemetry: a namespace of its own, beside the stable ones of HTTP clients."""

from attrs import define

SCOPE = "nxcdr_async"
"""The instrumentation scope of all spans and metrics."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.30.0"
"""The semantic conventions the names that are not ours follow."""

REGION = "nxcdr.region"
ENDPOINT = "nxcdr.endpoint"
WINDOW_START = "nxcdr.window.start"
WINDOW_END = "nxcdr.window.end"
DAY = "nxcdr.day"
PAGE = "nxcdr.page"
ATTEMPT = "nxcdr.attempt"
CODE = "nxcdr.code"
ROWS = "nxcdr.rows"
WAITED = "nxcdr.wait.duration"

ERROR_TYPE = "error.type"
METHOD = "http.request.method"
RESENT = "http.request.resend_count"
STATUS = "http.response.status_code"
SERVER = "server.address"
PORT = "server.port"
URL = "url.full"

CUSTOM = "custom"
"""The region of a gateway given by hand."""

CANCELLED = "cancelled"
"""The `error.type` of what was given up; its span is no error, as pages read ahead are given up in good order."""


@define(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: dotted, without its unit.
        unit: as UCUM writes it.
        description: what it measures.
        buckets: the edges of a histogram's buckets.
    """

    name: str
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


REQUESTS = Metric("nxcdr.requests", "{request}", "Requests sent, retries included.")
RETRIES = Metric("nxcdr.retries", "{retry}", "Requests that are sent again after a fault.")
THROTTLED = Metric("nxcdr.throttled", "{request}", "Requests that a gateway refused as too many.")
FETCHED_ROWS = Metric("nxcdr.rows", "{row}", "Rows that came, those read twice included.")
DURATION = Metric(
    "http.client.request.duration",
    "s",
    "Duration of HTTP client requests.",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
PAGE_ROWS = Metric("nxcdr.page.rows", "{row}", "Rows of a page.", (0, 1, 10, 50, 99, 100, 500, 998, 999))
LIMIT = Metric("nxcdr.concurrency.limit", "{request}", "Requests that may be in flight at a gateway.")
SKEW = Metric("nxcdr.clock.skew", "s", "How far a gateway's clock is ahead of ours.")
