"""What mypy says of programs that test against the emulator. Checked, never run."""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from nxcdr_async import Credentials
from nxcdr_async.testing import FAULT_KINDS, PUSHED_KEYS, FaultKind, Gateway, Push, PushReply, Switches, send_push

PAIR = Credentials("AK", "secret")
ROW = {"callId": "c1", "startTime": 1690442492841}


def histories() -> None:
    with Gateway(calls=500, days=2, switches=Switches(latency=(0.1, 0.2))) as gateway:
        assert_type(gateway, Gateway)
        assert_type(gateway.add_call(startTime=datetime(2026, 1, 1, tzinfo=UTC)), str)
        assert_type(gateway.add_calls(5, apart=timedelta(minutes=1)), list[str])
        assert_type(gateway.environment(), dict[str, str])
        with gateway.failing("503", endpoint="calls", page=2):
            gateway.fail_next("hang", times=2)
        gateway.fail_next("earthquake")  # type: ignore[arg-type]
        gateway.failing("503", endpoint="cals")  # type: ignore[arg-type]
    assert_type(FAULT_KINDS, tuple[FaultKind, ...])
    assert_type(PUSHED_KEYS, tuple[str, ...])


async def pushes(gateway: Gateway) -> None:
    push = gateway.push_of("c1", token="shared", keys=None)
    assert_type(push, Push)
    assert_type(push.with_headers(token=None), Push)
    assert_type(await push.send("http://127.0.0.1:8000/push", timeout=1), PushReply)
    assert_type(Push.with_token(ROW, "shared").send_sync("http://127.0.0.1:8000/push").accepted, bool)
    assert_type(Push.signed(ROW, PAIR, now=lambda: 0.0).body, bytes)
    assert_type(await gateway.push_call("http://127.0.0.1:8000/push", "c1", credentials=PAIR), PushReply)
    assert_type(await send_push("http://127.0.0.1:8000/push", ROW, token="shared"), PushReply)
    push.body = b""  # type: ignore[misc]
