"""Each status of HTTP has an error of the right class, and words that help."""

from http import HTTPStatus

import pytest

from nxcdr_async import AuthenticationError, GatewayError, InvalidRequestError, ServerError, ThrottledError
from nxcdr_async.protocol.codes import has_no_body, is_partial, is_success, name_of, status_meaning

REFUSED = {101, *range(300, 500), 501, 505, 510, 511} - {408, 425, 429, 499}
"""Those that another attempt would not change."""


def test_successes_are_those_of_http() -> None:
    assert [status for status in range(1_000) if is_success(status)] == list(range(200, 300))


def test_what_may_pass_is_told_from_what_will_not() -> None:
    meanings = {status: status_meaning(status) for status in range(1_000) if not is_success(status)}
    may_pass = {status for status, (kind, _) in meanings.items() if issubclass(kind, ServerError | ThrottledError)}
    assert set(meanings) - may_pass == REFUSED
    assert all(hint for _, hint in meanings.values())


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (101, InvalidRequestError, "another protocol"),
        (301, InvalidRequestError, "final address"),
        (304, InvalidRequestError, "cache"),
        (400, InvalidRequestError, "base URL"),
        (401, AuthenticationError, "credentials"),
        (402, GatewayError, "paid"),
        (403, AuthenticationError, "address"),
        (404, InvalidRequestError, "base URL"),
        (405, InvalidRequestError, "base URL"),
        (407, AuthenticationError, "proxy"),
        (408, ServerError, "in time"),
        (413, InvalidRequestError, "bytes"),
        (414, InvalidRequestError, "addresses"),
        (421, InvalidRequestError, "host"),
        (425, ServerError, "too young"),
        (426, InvalidRequestError, "https://"),
        (429, ThrottledError, "rate"),
        (431, InvalidRequestError, "headers"),
        (451, InvalidRequestError, "law"),
        (497, InvalidRequestError, "https://"),
        (500, ServerError, "try again later"),
        (511, AuthenticationError, "login"),
        (520, ServerError, "in front of the gateway"),
        (526, ServerError, "certificate"),
        (0, ServerError, "no status"),
        (999, ServerError, "no status"),
    ],
)
def test_a_hint_says_what_to_do(status: int, kind: type[GatewayError], word: str) -> None:
    found, hint = status_meaning(status)
    assert found is kind
    assert word in hint


def test_what_has_a_name_is_called_by_it() -> None:
    assert all(name_of(status) == status.phrase for status in HTTPStatus)
    assert name_of(499) == "Client Closed Request"
    assert name_of(799) is None


def test_parts_and_empty_replies_are_told() -> None:
    assert [status for status in range(1_000) if is_partial(status)] == [206, 226]
    assert [status for status in range(1_000) if has_no_body(status)] == [204, 205]
