from datetime import timedelta
from typing import Any

import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.webhook import call_push_app
from tests.webhook.pushing import PAIR, TOKEN, a_desk


def test_an_open_door_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="anybody"):
        call_push_app(a_desk().take)


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": ""},
        {"token": b"bytes"},
        {"token": "two\nlines"},
        {"token": " padded"},
        {"token": "tökén"},
        {"credentials": ("AK", "secret")},
        {"path": "calls"},
        {"path": ""},
        {"path": "/calls?a=1"},
        {"path": None},
        {"once_within": timedelta(seconds=-1)},
        {"once_within": 600},
        {"largest_body": 0},
        {"largest_body": 1.5},
        {"largest_body": True},
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"timeout": "30"},
        {"now": 5},
        {"on_call": None},
    ],
    ids=str,
)
def test_what_cannot_work_is_told_by_its_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"^{name} "):
        call_push_app(**{"on_call": a_desk().take, "token": TOKEN, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"token": "hidden\n"}, {"path": "calls"}, {"timeout": 0}, {"now": 5}, {"on_call": None}], ids=str
)
def test_neither_a_message_nor_its_traceback_holds_the_token(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        call_push_app(**{"on_call": a_desk().take, "token": "hidden", **wrong})
    frames = refused.traceback[1:]
    assert "hidden" not in str(refused.value) + "".join(str(frame.frame.f_locals) for frame in frames)


def test_a_repr_shows_no_secret() -> None:
    app = call_push_app(a_desk().take, token=TOKEN, credentials=PAIR)
    assert TOKEN not in repr(app)
    assert PAIR.access_secret not in repr(app)
