import contextlib

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.webhook.authenticate import Authenticator, check_head
from nxcdr_async.webhook.http import Head, Headers, PushRefusedError
from tests.webhook.pushing import PAIR, TOKEN, signed_headers

NAMES = st.sampled_from([b"token", b"Token", b"sign", b"ts", b"accessKey", b"bizType", b"action", b"algorithm"])
VALUES = st.binary() | st.sampled_from([b"8", b"callback", b"AKpush", b"1", b"md5"])


def as_bytes(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_odd_headers_are_refused_and_never_crash(pairs: list[tuple[bytes, bytes]]) -> None:
    for keeper in (Authenticator(TOKEN, None), Authenticator(None, PAIR), Authenticator(TOKEN, PAIR)):
        with pytest.raises(PushRefusedError) as refused:
            signed = keeper.admit(Headers.of(pairs), now_ms=1_700_000_000_000)
            assert signed is not None
            keeper.check_signature(signed, b"")
        assert refused.value.answer.status == 401


@given(st.binary(max_size=200), st.integers(-60_000, 60_000), st.sampled_from([str.lower, str.upper, str.title]))
def test_what_was_signed_is_admitted_whatever_the_case_of_names(body: bytes, skew: int, spell: object) -> None:
    headers = signed_headers(body, ts="1700000000000")
    pairs = as_bytes({spell(name): value for name, value in headers.items()})  # type: ignore[operator]
    keeper = Authenticator(None, PAIR)
    signed = keeper.admit(Headers.of(pairs), now_ms=1_700_000_000_000 + skew)
    assert signed is not None
    keeper.check_signature(signed, body)
    with pytest.raises(PushRefusedError):
        keeper.check_signature(signed, body + b" ")


@given(st.binary())
def test_any_content_length_is_read_without_a_crash(value: bytes) -> None:
    head = Head("POST", "/", Headers.of([(b"content-length", value)]))
    told = value.strip()
    is_larger = told.isdigit() and int(told) > 100
    with pytest.raises(PushRefusedError) if is_larger else contextlib.nullcontext():
        check_head(head, path="/", largest_body=100)


def test_an_endless_content_length_is_too_large() -> None:
    head = Head("POST", "/", Headers.of([(b"content-length", b"9" * 6_000)]))
    with pytest.raises(PushRefusedError) as refused:
        check_head(head, path="/", largest_body=100)
    assert refused.value.answer.status == 413


def test_neither_a_repr_of_the_authenticator_nor_of_headers_shows_secrets() -> None:
    shown = repr(Authenticator(TOKEN, PAIR)) + repr(Headers.of([(b"token", TOKEN.encode())]))
    assert TOKEN not in shown
    assert PAIR.access_secret not in shown
