"""The faults that are tried, each as it is switched on at an emulator.

Kinds of faults and yes-or-no switches are taken from the emulator itself, so that new ones are tried without a word
here. A switch with other values needs a line in `STRANGE`, a fault that must end in an error one in `ENDS_IN`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
from attrs import define, field

from nxcdr_async import Direction, IncompleteError, InvalidRequestError, NxcdrError, RecordError, RefusedRangeError
from nxcdr_async.testing import FAULT_KINDS, ROW_FAULT_KINDS, GatewayLog, Switches

SHARE = 0.3
"""How many of the replies meet a fault."""

SHARE_OF_ROWS = 0.01
"""How many of the rows are spoiled."""

DAY = 86_400.0

Counted = Literal["faults", "refused", "replies"]

STRANGE: Mapping[str, tuple[Any, ...]] = {
    "order": ("ascending", "shuffled"),
    "flash_order": ("descending", "shuffled"),
    "filter_by": ("end",),
    "page_overlap": (10,),
    "page_cap": (40,),
    "arrivals_per_page": (2,),
    "empty_as": ("null", "object"),
    "redirect_to": ("https://gateway.example",),
    "depth_cap": (1_000,),
    "max_span": (DAY,),
    "retention": (DAY / 2,),
    "extra_keys": ({"new": {"deep": [1, None, "…"]}},),
    "date": ("frozen", "absent"),
    "date_offset": (DAY,),
    "date_drift": (1.0,),
    "relays": ((0.0, DAY, -DAY),),
    "legs": (3,),
    "charset": ("gbk", "big5", "latin-1", "utf-16", "utf-8-sig"),
    "declared_charset": ("gbk", "latin-1", "no-such-charset"),
}
"""Values of the switches that are not just yes or no."""

THROTTLES: Mapping[str, Any] = {"max_in_flight": 4, "max_per_second": 25}

NO_FAULTS = frozenset(
    {"latency", "retry_after", "fault_rate", "faults", "row_fault_rate", "row_faults", "publish_delay"}
    | {"depth_cap_code", "max_span_code", "retention_code", "language"}
    | {"late_calls", "price_delay", "record_url_delay"}
    | {"recording_delay", "recording_retention", "recording_rate", "recording_redirect", "recording_ranges"}
)
"""Switches that are tried with others, or make nothing go wrong."""

ENDS_IN: Mapping[str, type[NxcdrError]] = {
    "ignore_filters": IncompleteError,
    "ignore_range": IncompleteError,
    "redirect_to": InvalidRequestError,
    "retention": RefusedRangeError,
}
"""Switches under which no answer can be complete: the error that has to say so."""

DIRECTIONS: Mapping[str, Direction] = {"ignore_filters": Direction.INBOUND}
"""Switches that show only if a filter is asked for: calls and DID calls of this direction alone are."""


@define(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        fault: its name.
        switches: what is switched on.
        counted: which replies met it: those the emulator counts as faults, those refused with HTTP 429, or each.
        ends_in: the error it has to end in; None if every row can be had.
        clock: seconds the gateway's clock is ahead of ours.
        jump: seconds the gateway's clock jumps by once some replies were given.
        direction: the only calls and DID calls that are asked for; None for all.
    """

    fault: str
    switches: Mapping[str, Any] = field(factory=dict)
    counted: Counted = "replies"
    ends_in: type[NxcdrError] | None = None
    clock: float = 0.0
    jump: float = 0.0
    direction: Direction | None = None

    def met(self, log: GatewayLog) -> int:
        """Return how many replies met the fault."""
        if self.counted == "faults":
            return sum(log.faults.values())
        return log.refused[429] if self.counted == "refused" else log.requests


def cases() -> list[Case]:
    """Return all of them, in the order of the table."""
    return [*_faults(), *_bad_rows(), *_strange(), *_throttled(), *_clocks()]


def _faults() -> Iterator[Case]:
    for kind in FAULT_KINDS:
        yield Case(f"{SHARE:.0%} {kind}", {"fault_rate": SHARE, "faults": [kind]}, "faults", ENDS_IN.get(kind))
    whole = [kind for kind in FAULT_KINDS if kind not in ENDS_IN]
    yield Case(f"{SHARE:.0%} of all kinds", {"fault_rate": SHARE, "faults": whole}, "faults")


def _bad_rows() -> Iterator[Case]:
    for kind in ROW_FAULT_KINDS:
        switches = {"row_fault_rate": SHARE_OF_ROWS, "row_faults": [kind]}
        yield Case(f"{SHARE_OF_ROWS:.0%} of rows {kind}", switches, ends_in=None if kind == "tab" else RecordError)


def _strange() -> Iterator[Case]:
    for switch in attrs.fields(Switches):
        ends_in, direction = ENDS_IN.get(switch.name), DIRECTIONS.get(switch.name)
        if switch.type is bool and switch.name not in NO_FAULTS:
            told = switch.name if not switch.default else f"{switch.name}=False"
            yield Case(told, {switch.name: not switch.default}, ends_in=ends_in, direction=direction)
        for value in STRANGE.get(switch.name, ()):
            told = f"={value}" if isinstance(value, int | str) else ""
            yield Case(f"{switch.name}{told}", {switch.name: value}, ends_in=ends_in, direction=direction)


def _throttled() -> Iterator[Case]:
    # Replies take a moment, as only then can there be several at once.
    for name, limit in THROTTLES.items():
        yield Case(f"{name}={limit}", {name: limit, "latency": (0.01, 0.03)}, "refused")


def _clocks() -> Iterator[Case]:
    yield Case("clock a day ahead", clock=DAY)
    yield Case("clock a day behind", clock=-DAY)
    yield Case("clock jumps an hour in mid-run", jump=DAY / 24)
