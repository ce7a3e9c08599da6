import msgspec
import pytest
from hypothesis import example, given, strategies as st

from nxcdr_async.cli.stdout import escaped, whole_lines

TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
STEERING = "".join(map(chr, (*range(0x20), 0x7F, *range(0x80, 0xA0)))) + "\u2028\u2029" + TURNING
"""What a terminal obeys or an editor takes for the end of a line, as the standards of both list it."""


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(STEERING)))
@example(STEERING)
def test_a_line_of_json_means_the_same_and_steers_no_terminal(text: str) -> None:
    line = escaped(msgspec.json.encode({"name": text}))
    assert msgspec.json.decode(line) == {"name": text}
    assert not set(STEERING) & set(line.decode())


@given(st.lists(st.binary(max_size=90).map(lambda line: line.replace(b"\n", b"") + b"\n")))
def test_a_pipe_gets_whole_lines(lines: list[bytes]) -> None:
    parts = list(whole_lines(b"".join(lines), 64))
    assert b"".join(parts) == b"".join(lines)
    assert all(part.endswith(b"\n") for part in parts)
    assert all(len(part) <= 64 or part.count(b"\n") == 1 for part in parts)


@pytest.mark.parametrize("text", ["é", "牛小信", "عربي", "👩‍👩‍👧", "a b"])
def test_letters_of_any_script_stay_as_they_are(text: str) -> None:
    line = msgspec.json.encode(text)
    assert escaped(line) == line
