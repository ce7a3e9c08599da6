import html
import json
from decimal import Decimal
from time import process_time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from nxcdr_async._util.redaction import LONGEST_LINE, Redactor

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8)
"""What `Credentials` and `FlashApp` take, though longer than an accident."""

WRITTEN: dict[str, Any] = {
    "as it is": lambda secret: secret,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a form": quote_plus,
    "in a URL in a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "in a URL of lower case": lambda secret: quote(secret, safe="").lower(),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "in JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "in JSON with signs escaped": lambda secret: "".join(
        char if char.isalnum() else f"\\u{ord(char):04X}" for char in secret
    ),
    "in HTML": html.escape,
    "in HTML by number": lambda secret: "".join(char if char.isalnum() else f"&#{ord(char)};" for char in secret),
    "in Python": lambda secret: repr(secret)[1:-1],
}


@pytest.mark.parametrize("way", WRITTEN)
@given(secret=SECRETS, before=st.text(" \n", max_size=2), after=st.text(" \n", max_size=2))
def test_a_secret_is_taken_out_however_it_is_written(way: str, secret: str, before: str, after: str) -> None:
    written = WRITTEN[way](secret)
    assert Redactor((secret,)).text(f"{before}{written}{after}") == f"{before}…{after}"


def test_a_secret_inside_of_another_is_taken_out_whole() -> None:
    assert Redactor(("abc", "abcdef", "")).text("abcdef") == "…"


def test_it_does_not_show_its_secrets_itself() -> None:
    assert "TopSecret42" not in repr(Redactor(("TopSecret42",)))


@given(st.text())
def test_a_line_is_printable_and_of_sane_length(text: str) -> None:
    line = Redactor().line(text)
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE + 1


def test_a_secret_is_taken_out_before_a_line_is_cut() -> None:
    line = Redactor(("TopSecret42",)).line("x" * (LONGEST_LINE - 3) + "TopSecret42")
    assert "Top" not in line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_a_value_without_secrets_is_given_back_itself(value: Any) -> None:
    assert Redactor(("TopSecret42",)).value(value) is value


def test_a_value_loses_secrets_at_every_depth_and_is_left_as_it_was() -> None:
    value = {"a": [{"x4242x": ["a 4242", 14242, Decimal("4242.0"), True, None]}], "b": "c"}
    before = repr(value)
    assert Redactor(("4242",)).value(value) == {"a": [{"x…x": ["a …", "1…", "….0", True, None]}], "b": "c"}
    assert repr(value) == before


def test_a_value_may_be_nested_deeper_than_python_recurses() -> None:
    value: Any = "4242"
    for _ in range(10_000):
        value = [value]
    cleaned = Redactor(("4242",)).value(value)
    for _ in range(10_000):
        (cleaned,) = cleaned
    assert cleaned == "…"


@pytest.mark.parametrize("secret", ["/x", "\\x", "\\\\\\x", "%x", "&x"])
@pytest.mark.parametrize("text", ["\\" * 200_000, "%" + "25" * 100_000, "&#" + "0" * 200_000])
def test_no_text_keeps_the_search_busy(text: str, secret: str) -> None:
    began = process_time()
    Redactor((secret,)).line(text)
    assert process_time() - began < 5
