"""Pins what users of the emulator type."""

import inspect
import re

import pytest

from nxcdr_async import testing
from nxcdr_async.testing import Gateway, Push, send_push

NAMES = """
    CallHistory EmulatorClock EndpointName FAULT_KINDS FaultKind Gateway GatewayLog Order PUSHED_KEYS Push PushReply
    ROW_FAULT_KINDS RowFaultKind SeenRequest Switches send_push
"""
ONE_MODE = "token: str | None = None, credentials: Credentials | None = None"
PUSHED = f"(self, call_id: str, *, {ONE_MODE}, keys: Collection[str] | None = PUSHED_KEYS)"


def signature_of(function: object) -> str:
    assert callable(function)
    signature = str(inspect.signature(function)).replace(repr(testing.PUSHED_KEYS), "PUSHED_KEYS")
    return re.sub(r"<function wall at \w+>", "wall", re.sub(r"(?<![\w'])(?:[a-z_]\w*\.)+(?=\w)", "", signature))


def test_exactly_these_names_are_public() -> None:
    assert sorted(testing.__all__) == sorted(NAMES.split())
    assert all(getattr(testing, name) is not None for name in testing.__all__)


def test_a_name_that_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Getaway'"):
        _ = testing.Getaway


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (Gateway.push_of, f"{PUSHED} -> Push"),
        (Gateway.push_call, f"{PUSHED.replace('self, ', 'self, url: str, ')} -> PushReply"),
        (
            send_push,
            f"(url: str, row: Mapping[str, Any], *, {ONE_MODE}, now: Callable[[], float] = wall) -> PushReply",
        ),
        (Gateway.change_call, "(self, call_id: str, **vendor_fields: Any) -> None"),
        (Push.send, "(self, url: str, *, timeout: float = 30.0) -> PushReply"),
        (Push.send_sync, "(self, url: str, *, timeout: float = 30.0) -> PushReply"),
        (Push.with_headers, "(self, **changes: str | None) -> Self"),
    ],
)
def test_signatures_stay(function: object, signature: str) -> None:
    assert signature_of(function) == signature
