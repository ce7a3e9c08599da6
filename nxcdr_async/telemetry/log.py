"""What is logged, by the standard library's logger `nxcdr_async`: a text, and its facts as fields of the record.

The fields are attributes of the record (`extra`), so that a JSON formatter, or structlog's ProcessorFormatter with
ExtraAdder, finds them. A record has those of them that are known:

| field | what it is |
| --- | --- |
| `endpoint` | the API: "calls", "order", "did", "flash" or "flash_call" |
| `attempt` | the number of the attempt, 1 for the first |
| `http_status` | the status of the gateway's HTTP reply, or of ours to a call push |
| `duration_seconds` | how long the exchange took |
| `wait_seconds` | how long it will be until the next attempt |
| `skew_seconds` | by how much the gateway's clock, or that of whoever pushes calls, is believed to be ahead of ours |
| `clock_source` | what tells that: "date", "timestamps" or "machine", as in `SessionStats.clock_source` |
| `error_type` | the class of the error, such as "nxcdr_async.errors.ThrottledError" |
| `code` | the vendor's result code |
| `windows_lost` | windows of a store that lack rows |
| `gateway_request_id` | the gateway's id of the request, to be quoted to the vendor's support |

| level | when |
| --- | --- |
| debug | a reply came: endpoint, attempt, http_status, duration_seconds |
| info | a question will be asked again: endpoint, attempt, wait_seconds, error_type, code, … |
| warning | a round of a follower failed, and will be tried again: endpoint, wait_seconds, error_type, code, … |
| info | a timestamp was refused: endpoint, attempt, skew_seconds, error_type, code, … |
| warning | from now on a gateway's `Date` is missing or another clock's: endpoint, clock_source, skew_seconds |
| info | a gateway's `Date` is believed again: endpoint, clock_source, skew_seconds |
| warning | a call push was refused: http_status |
| warning | a call push was broken off by its sender, before its body was whole |
| warning | this machine's clock is off by signed pushes, once an hour at most: skew_seconds |
| info | pushed calls are none of those that the gateway told of their call ids, and are left to the next sync |
| info | pushed calls tell less than earlier pushes of them, and other values, which are left to the next sync |
| error | the callback that gets pushed calls failed, with the traceback, or took too long: http_status |
| warning | a store does not tell any more where its rows come from, nor what was pruned |
| warning | windows of a store lack rows that were stored there: windows_lost |
| warning | OpenTelemetry is installed and cannot be used, once a process: error_type |
| warning | what OpenTelemetry was configured with failed, once a process: error_type |
"""

import logging
from functools import cache
from typing import Any

from nxcdr_async.errors import GatewayError, NxcdrError
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.stats import ClockSource
from nxcdr_async.transport.retry import Attempts

# Without a NullHandler: where nobody configured logging, a callback that fails must still show on stderr.
_log = logging.getLogger("nxcdr_async")

_CLOCK_SOURCES: dict[ClockSource, str] = {
    "date": "%s: the gateway's clock is told by its Date header again, %.1f s ahead of ours",
    "timestamps": (
        "%s: the gateway's Date header is missing, or by another clock than timestamps are checked by: its time is "
        "known to within a minute, by the timestamps it accepts, as %.1f s ahead of ours"
    ),
    "machine": "%s: nothing tells the gateway's time, so this machine's clock is used (%.1f s are added to it)",
}


def type_name(error: BaseException) -> str:
    """Return the name of an error's class with its module."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def log_response(endpoint: Endpoint[Any], attempts: Attempts, status: int, seconds: float) -> None:
    """Log that a response came."""
    if _log.isEnabledFor(logging.DEBUG):
        fields = {"http_status": status, "duration_seconds": seconds}
        _log.debug(
            "%s: HTTP %d after %.0f ms",
            endpoint.name,
            status,
            seconds * 1000,
            extra={**_fields(endpoint, attempts), **fields},
        )


def log_retry(endpoint: Endpoint[Any], attempts: Attempts, fault: NxcdrError, wait: float) -> None:
    """Log that a question will be asked again after so many seconds."""
    _log.info(
        "%s: attempt %d failed, next in %.2f s: %s",
        endpoint.name,
        attempts.count,
        wait,
        fault,
        extra={**_fields(endpoint, attempts), **_fields_of(fault), "wait_seconds": wait},
    )


def log_follow_retry(endpoint: Endpoint[Any], fault: NxcdrError, wait: float) -> None:
    """Log that a round of a follower failed, and that the next comes after so many seconds."""
    _log.warning(
        "%s: following failed, next try in %.0f s: %s",
        endpoint.name,
        wait,
        fault,
        extra={"endpoint": endpoint.name, **_fields_of(fault), "wait_seconds": wait},
    )


def log_clock_refusal(endpoint: Endpoint[Any], attempts: Attempts, fault: NxcdrError, skew: float) -> None:
    """Log that a timestamp was refused."""
    _log.info(
        "%s: timestamp refused, the gateway's clock is %.1f s ahead of ours",
        endpoint.name,
        skew,
        extra={**_fields(endpoint, attempts), **_fields_of(fault), "skew_seconds": skew},
    )


def log_clock_source(endpoint: Endpoint[Any], source: ClockSource, skew: float) -> None:
    """Log a change of where a gateway's clock is known from."""
    _log.log(
        logging.INFO if source == "date" else logging.WARNING,
        _CLOCK_SOURCES[source],
        endpoint.name,
        skew,
        extra={"endpoint": endpoint.name, "clock_source": source, "skew_seconds": skew},
    )


def log_origin_lost(source: str, sink: str) -> None:
    """Log that a store is bound to nothing any more, as a part of its ledger is gone."""
    _log.warning(
        "%s: the ledger of %s was lost, in whole or in part: which gateway and key its rows come from, and what was "
        "pruned, is not known any more; what is read now binds it anew, and rows that were pruned may come back",
        source,
        sink,
    )


def log_windows_lost(source: str, sink: str, windows: int) -> None:
    """Log that windows lack rows that were stored with them, and are read again."""
    _log.warning(
        "%s: rows that were stored are gone, of windows: %d, in %s: these count as not read, and a run over their "
        "time, such as a sync, reads them again",
        source,
        windows,
        sink,
        extra={"windows_lost": windows},
    )


def log_pushes_left(calls: int) -> None:
    """Log that calls were pushed that are none of those the gateway gave for their ids, and so not stored."""
    _log.info("%d pushed calls are none that the gateway told of their call ids: they are left to the next sync", calls)


def log_late_pushes(calls: int) -> None:
    """Log that pushes came after fuller ones of their calls, and that what they contradict was left."""
    _log.info(
        "%d pushed calls came late, as they tell less than is stored, and other values, left to the next sync",
        calls,
    )


def log_receiver_clock(skew: float) -> None:
    """Log that signed pushes are refused, one after the other, as their clock is another than ours."""
    _log.warning(
        "signed call pushes are refused one after the other, as the clock that they were signed by is %.0f seconds %s "
        "this machine's: have this machine's clock set by NTP (timedatectl, chronyc tracking, w32tm); if it is right, "
        "the sender's is wrong",
        abs(skew),
        "ahead of" if skew > 0 else "behind",
        extra={"skew_seconds": skew},
    )


def log_broken_telemetry(error: Exception) -> None:
    """Log, once a process for each kind of error, that OpenTelemetry is installed and cannot be used."""
    _log_broken_telemetry(type_name(error))


@cache
def _log_broken_telemetry(error_type: str) -> None:
    _log.warning(
        "OpenTelemetry is installed but cannot be used (%s), so there are no traces and no metrics: "
        "install nxcdr-async[otel], or look at the OTEL_… variables",
        error_type,
        extra={"error_type": error_type},
    )


def log_failed_telemetry(error: Exception) -> None:
    """Log, once a process for each kind of error, that what a user configured OpenTelemetry with failed."""
    _log_failed_telemetry(type_name(error))


@cache
def _log_failed_telemetry(error_type: str) -> None:
    _log.warning(
        "OpenTelemetry failed (%s), so traces or metrics are missing: look at the samplers, span processors and "
        "readers it is configured with",
        error_type,
        extra={"error_type": error_type},
    )


def _fields(endpoint: Endpoint[Any], attempts: Attempts) -> dict[str, Any]:
    return {"endpoint": endpoint.name, "attempt": attempts.count}


def _fields_of(fault: NxcdrError) -> dict[str, Any]:
    facts: dict[str, Any] = {"gateway_request_id": fault.request_id}
    if isinstance(fault, GatewayError):
        facts |= {"http_status": fault.http_status, "code": fault.code}
    return {"error_type": type_name(fault)} | {name: value for name, value in facts.items() if value is not None}
