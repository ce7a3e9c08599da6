"""Faults injected on purpose: scripted ones first, then by chance."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

from attrs import define, evolve, field, setters, validators

from nxcdr_async._util.validation import is_whole
from nxcdr_async.testing.emulator.replies import EmulatedReply, Language, RefusedError, Style, refusal, web_page
from nxcdr_async.testing.emulator.switches import EVERY_KIND, EndpointName, FaultKind, Switches, one_of

if TYPE_CHECKING:
    from attrs import Attribute


def _check_times(_fault: object, attribute: "Attribute[Any]", times: object) -> None:
    if times is not None and not (is_whole(times) and times >= 1):
        raise ValueError(f"{attribute.name} is {times!r}: give a whole number, at least 1")


@define(eq=False)
class ScriptedFault:
    """A fault that is planned.

    Attributes:
        times: how many requests it is still to hit; None until it is removed.
        endpoint: only there; None for any.
        page: only requests of that page; None for any.
    """

    kind: FaultKind = field(validator=one_of(EVERY_KIND))
    times: int | None = field(
        validator=_check_times,
        on_setattr=setters.NO_OP,  # it counts down to zero
    )
    endpoint: EndpointName | None = field(validator=validators.optional(one_of(get_args(EndpointName))))
    page: int | None = field(validator=_check_times)

    def concerns(self, endpoint: str, parameters: dict[str, Any]) -> bool:
        """Return whether this fault is for a request."""
        at_endpoint = self.endpoint is None or self.endpoint == endpoint
        return at_endpoint and (self.page is None or parameters.get("page") == self.page)


class FaultPlan:
    """Decides which request gets which fault."""

    def __init__(self, switches: Switches, seed: int) -> None:
        self._switches = switches
        self._chance = Random(seed)  # noqa: S311 - faults have to be repeatable, not secret
        self._scripted: list[ScriptedFault] = []
        self._lock = Lock()

    def script(self, fault: ScriptedFault) -> None:
        """Plan a fault."""
        with self._lock:
            self._scripted.append(fault)

    @contextmanager
    def under_way(self, fault: ScriptedFault) -> Iterator[None]:
        """Keep a fault planned as long as a block lasts."""
        self.script(fault)
        try:
            yield
        finally:
            with self._lock:
                self._scripted.remove(fault)

    def next_fault(self, endpoint: str, parameters: dict[str, Any]) -> FaultKind | None:
        """Return the fault of a request; None if it is answered properly."""
        with self._lock:
            for fault in self._scripted:
                if fault.concerns(endpoint, parameters):
                    self._count_down(fault)
                    return fault.kind
        if not self._switches.faults or self._chance.random() >= self._switches.fault_rate:
            return None
        return self._chance.choice(self._switches.faults)

    def _count_down(self, fault: ScriptedFault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if not fault.times:
            self._scripted.remove(fault)


_PAUSE = 2
"""Seconds; a date has whole seconds, so one that is a second away might be almost over."""

_BARE: dict[FaultKind, EmulatedReply] = {
    "429": web_page(429, "429 Too Many Requests"),
    "429-retry-after": web_page(429, "429 Too Many Requests", {"Retry-After": "1"}),
    "502": web_page(502, "502 Bad Gateway"),
    "503": web_page(503, "503 Service Temporarily Unavailable"),
    "empty": EmulatedReply(),
    "html": web_page(200, "系统维护中"),
}


def refused_by(kind: FaultKind, style: Style, now: float, language: Language) -> EmulatedReply | None:
    """Return the reply of a fault that needs no genuine one, at a time by the emulator's clock; None for others."""
    if kind in _BARE:
        return _BARE[kind]
    if kind == "429-retry-after-date":
        return web_page(429, "429 Too Many Requests", {"Retry-After": formatdate(now + _PAUSE, usegmt=True)})
    if kind in {"88", "99", "1004"}:
        return refusal(style, RefusedError(int(kind)), language)
    return None


def spoiled(kind: FaultKind, genuine: EmulatedReply) -> EmulatedReply:
    """Return a genuine reply changed by a fault."""
    if kind == "truncated":
        return evolve(genuine, body=genuine.body[: len(genuine.body) // 2])
    if kind == "wrong-content-type":
        return evolve(genuine, content_type="text/html;charset=UTF-8")
    return genuine
