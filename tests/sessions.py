"""Sessions on an emulator, and what all read from it."""

from collections.abc import Callable
from datetime import timedelta

from nxcdr_async import CallRecord, CdrSession, Paginator
from nxcdr_async.testing import Gateway

OpenSession = Callable[..., CdrSession]
"""What the fixture `open_session` gives: opens a session with whatever arguments differ, closed with the test."""


def session_on(gateway: Gateway) -> CdrSession:
    return CdrSession(gateway=gateway.url, credentials=gateway.credentials)


def all_calls(session: CdrSession, gateway: Gateway) -> Paginator[CallRecord]:
    return session.calls(gateway.first_call, gateway.last_call + timedelta(seconds=1))
