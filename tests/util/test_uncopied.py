"""What can be copied and pickled, and what refuses it."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async import CdrSession, Credentials, FlashApp, PushedCalls, backfill, prune, verify
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.testing import Gateway
from nxcdr_async.webhook import call_push_app
from tests.sessions import OpenSession

SECRET = "s3cret-of-no-value"
PAIR, APP = Credentials("AK1", SECRET), FlashApp("app", SECRET)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
WAYS: dict[str, Callable[[Any], object]] = {
    "pickle": pickle.dumps,
    "oldest pickle": lambda thing: pickle.dumps(thing, 0),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a list": lambda thing: copy.deepcopy([thing]),
}


def things_that_hold_something(tmp_path: Path) -> dict[str, object]:
    session = CdrSession(credentials=PAIR, flash_app=APP)
    calls = session.calls(START, END)
    return {
        "CdrSession": session,
        "Paginator": calls,
        "PageIterator": calls.pages(),
        "PushedCalls": PushedCalls(session, tmp_path / "calls.sqlite"),
        "CallPushApp": call_push_app(print, token=SECRET, credentials=PAIR),
        "Gateway": Gateway(calls=1),
        "SqliteSink": sink_for(tmp_path / "calls.sqlite"),
        "PostgresqlSink": sink_for(f"postgresql://user:{SECRET}@127.0.0.1/calls"),
        "FolderSink": sink_for(tmp_path / "calls.jsonl"),
    }


@pytest.mark.parametrize("way", WAYS)
def test_what_holds_a_connection_or_a_task_says_that_it_cannot_be_copied(way: str, tmp_path: Path) -> None:
    for name, thing in things_that_hold_something(tmp_path).items():
        with pytest.raises(TypeError, match=f"^a {name} cannot be pickled or copied: ") as refused:
            WAYS[way](thing)
        frames = "".join(str(frame.frame.f_locals) for frame in refused.traceback[1:])
        assert SECRET not in str(refused.value) + frames


async def test_a_session_that_is_open_says_so_too_and_goes_on(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    async with session.calls(gateway.first_call, gateway.last_call) as calls:
        await anext(calls)
        for thing in (session, calls):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                copy.deepcopy(thing)
        assert await calls.collect()


async def test_what_is_read_and_told_can_be_copied_and_pickled(
    gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    session, store = open_session(), tmp_path / "calls.sqlite"
    paginator = session.calls(gateway.first_call, gateway.last_call)
    calls = await paginator.collect()
    told: list[Any] = [calls, paginator.stats, session.stats]
    told += [await session.did_calls(gateway.first_call.date()).collect()]
    told += [await session.flash_calls(gateway.first_call, gateway.last_call).collect()]
    end = gateway.first_call + timedelta(hours=12)
    told += [await backfill(session, "calls", gateway.first_call, end, store, on_progress=told.append)]
    told += [await verify(session, store), await prune(store, before=end, dry_run=True)]
    assert not [part for part in told if not part]
    for part in told:
        for twin in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part), copy.copy(part)):
            assert twin == part


def test_keys_go_to_another_process_with_their_secret() -> None:
    for keys in (PAIR, APP):
        assert pickle.loads(pickle.dumps(keys)) == copy.deepcopy(keys) == keys
        assert SECRET.encode() in pickle.dumps(keys)
        assert SECRET not in repr(pickle.loads(pickle.dumps(keys)))
