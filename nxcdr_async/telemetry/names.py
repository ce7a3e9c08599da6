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
SOURCE = "nxcdr.source"
CHANGE = "nxcdr.change"
OUTCOME = "nxcdr.outcome"

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

PUSHES = Metric("nxcdr.pushes", "{push}", "Call pushes that came to this process: taken, refused or failed.")

SYNC_ROWS = Metric("nxcdr.sync.rows", "{row}", "Rows that rounds read and stored, as new, changed or unchanged ones.")
SYNC_ROUNDS = Metric("nxcdr.sync.rounds", "{round}", "Rounds by how they ended: done, gaps, busy or failed.")
SYNC_FAILURES = Metric("nxcdr.sync.failures", "{round}", "Rounds that failed since the last that did not.")
SYNC_GAPS = Metric("nxcdr.sync.gaps", "{gap}", "What is known to be missing in the store, by the last round.")
SYNC_DURATION = Metric("nxcdr.sync.duration", "s", "How long the last round took that came to its end.")
SYNC_LAG = Metric("nxcdr.sync.lag", "s", "How long ago the moment is up to which the store is complete.")
SYNC_COMPLETE_UNTIL = Metric("nxcdr.sync.complete_until", "s", "Unix time up to which the store is complete.")
SYNC_LAST_SUCCESS = Metric("nxcdr.sync.last_success", "s", "Unix time at which the last round came to its end.")

SYNC_COUNTERS = (SYNC_ROWS, SYNC_ROUNDS)
SYNC_GAUGES = (SYNC_FAILURES, SYNC_GAPS, SYNC_DURATION, SYNC_LAG, SYNC_COMPLETE_UNTIL, SYNC_LAST_SUCCESS)
"""Of what `nxcdr sync --every` does; the requests it sends are among those above."""


@define(frozen=True)
class Measurement:
    """What one metric is at one moment.

    Attributes:
        metric: what is measured.
        value: the figure; of a counter, since the process began.
        attributes: tell it from others of the metric.
    """

    metric: Metric
    value: float
    attributes: dict[str, str]
