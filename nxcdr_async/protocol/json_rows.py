"""Splitting a body into its rows, also where one broken row makes the whole body no JSON. Pure.

This tokenizer only finds where rows begin and end; `json_text` decodes each row, and what can be read of a broken one.

Rows end where brackets outside of strings match; regular expressions jump from bracket to bracket. In a row whose own
quotes or brackets do not match that fails, so the next row is recognized by how it begins: after a comma, with a key
that this row has too or that other rows begin with.
"""

import re
from functools import lru_cache

from attrs import define, field

DEEPEST = 1_000
"""Nested brackets, beyond which the decoder reads no value either."""

MOST_WORK = 16
"""How many times the bytes of a body are scanned at most, before splitting it is given up."""

_MOST_PASSES = 3
"""How often a body is scanned, each time with all first keys of rows that were found by then."""

_MOST_FIRST_KEYS = 32
"""First keys of rows that are remembered; a vendor's rows begin with few different ones."""

_MOST_ENDS = 8
"""Brackets that are tried as the end of the list, from the last one."""

_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL)
_TO_COMMA = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL)
_OPEN_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)
_FIRST_KEY = re.compile(rb"\{[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:", re.DOTALL)
_GAP = rb"\}[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+"
_BETWEEN_OBJECTS = re.compile(_GAP + rb'"')
_KEY_OR_BRACKET = re.compile(rb"(" + _STRING + rb")[ \t\r\n]*+:|" + _STRING + rb"?+|[\[\]{}]", re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_WHITE = b" \t\r\n"
_BEHIND_A_STRING = (b":", b",", b"}", b"]")


@define(frozen=True)
class SplitBody:
    """The rows of a body, each as it came, and the body with an empty list in their place."""

    envelope: bytes
    rows: list[bytes]


def split_body(text: bytes, rows_at: tuple[str, ...]) -> SplitBody | None:
    """Split a body into its rows and the rest.

    Args:
        text: the body, in UTF-8 except for strings that may be wrong.
        rows_at: the keys that lead to the list of rows.

    Returns:
        None if the rows cannot be found.
    """
    return _Scan(text).split(rows_at)


def is_cut_off(text: bytes) -> bool:
    """Return whether JSON was cut off; where quotes or brackets do not match, by what follows the last quote."""
    scan = _Scan(text)
    if scan.end_of(scan.after_space(0)) is not None:
        return False
    behind = text[text.rfind(b'"') + 1 :].strip(_WHITE)
    return scan.is_open or behind[:1] not in _BEHIND_A_STRING or behind[-1:] not in (b"}", b"]")


@define(eq=False)
class _Scan:
    """A scan of a body.

    Attributes:
        is_open: whether the last end that was looked for was missing, though all before it matched.
    """

    text: bytes
    is_open: bool = field(default=False, init=False)
    _bytes_left: int = field(init=False)
    _first_keys: set[bytes] = field(factory=set, init=False)
    _has_broken_row: bool = field(default=False, init=False)
    _may_find_more: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._bytes_left = MOST_WORK * len(self.text)

    def split(self, rows_at: tuple[str, ...]) -> SplitBody | None:
        opening: int | None = self.after_space(0)
        for key in rows_at:
            opening = None if opening is None or not self._is_at(opening, b"{") else self._member(opening, key)
        if opening is None or not self._is_at(opening, b"["):
            return None
        split = self._split_at(opening)
        for _ in range(_MOST_PASSES - 1):
            if split is None or not self._may_find_more:
                break
            split = self._split_at(opening)
        return split

    def _split_at(self, opening: int) -> SplitBody | None:
        """Split off the rows of the list that begins here."""
        self._may_find_more = False
        self._has_broken_row = False
        rows: list[bytes] = []
        place = self.after_space(opening + 1)
        while not self._is_at(place, b"]"):
            end = self._end_of_row(place, opening)
            if end is None or end == place:
                return None
            rows.append(self.text[place:end].rstrip(_WHITE))
            place = self.after_space(end)
            if self._is_at(place, b","):
                place = self.after_space(place + 1)
            elif not self._is_at(place, b"]"):
                return None
        return SplitBody(self._without_rows(opening, place), rows)

    def end_of(self, start: int) -> int | None:
        """Return where the object or list that begins here ends; None if it does not, or nothing of these begins."""
        self.is_open = False
        closing = bytearray()
        place, before = start, start
        while (bracket := self.text[place] if place < len(self.text) else None) is not None:
            if bracket in _CLOSING:
                is_value = not closing or closing[-1] != ord("}") or self._ends_in_colon(before, place)
                if not is_value or len(closing) == DEEPEST:
                    return self._found(start, place, None)
                closing.append(_CLOSING[bracket])
            elif not closing or bracket != closing.pop():
                # One that does not match, or a string that does not end.
                return self._found(start, len(self.text) if bracket == ord('"') else place, None)
            if not closing:
                return self._found(start, place, place + 1)
            before = place + 1
            place = self._after(_TO_BRACKET, before)
        self.is_open = bool(closing)
        return self._found(start, place, None)

    def after_space(self, place: int) -> int:
        return self._after(_SPACE, place)

    def _found(self, start: int, reached: int, end: int | None) -> int | None:
        self._bytes_left -= reached - start
        return end

    def _ends_in_colon(self, start: int, end: int) -> bool:
        return self.text[start:end].rstrip(_WHITE)[-1:] == b":"

    def _member(self, start: int, key: str) -> int | None:
        """Return where the value of a key begins in the object that begins here, if that is an object or a list."""
        named = re.compile(rb'(?<!\\)"' + re.escape(key.encode()) + rb'"[ \t\r\n]*+:[ \t\r\n]*+\Z')
        place: int | None = start + 1
        while place is not None:
            bracket = self._after(_TO_BRACKET, place)
            if self.text[bracket : bracket + 1] not in (b"{", b"["):
                return None
            if named.search(self.text, place, bracket):
                return bracket
            place = self.end_of(bracket)
        return None

    def _end_of_row(self, start: int, opening: int) -> int | None:
        if self.text[start : start + 1] not in (b"{", b"["):
            return self._after(_TO_COMMA, start)
        end = self.end_of(start)
        if self._bytes_left < 0:
            return None
        next_row = self._next_row(start, end)
        self._has_broken_row = self._has_broken_row or end is None or next_row is not None
        if next_row is not None:
            return next_row
        return self._end_of_last_row(start, opening) if end is None else end

    def _next_row(self, start: int, end: int | None) -> int | None:
        """Return where a row ends if another one follows before its brackets match.

        A missing quote turns strings inside out to the end of the body: the rows that follow seem to begin in a string.
        """
        key = _FIRST_KEY.match(self.text, start)
        if key is None:
            return None
        if key[1] not in self._first_keys and len(self._first_keys) < _MOST_FIRST_KEYS:
            self._first_keys.add(key[1])
            # Such a row may have been counted as a part of the broken one.
            self._may_find_more = self._may_find_more or self._has_broken_row
        last = len(self.text) if end is None else end
        any_gap = _BETWEEN_OBJECTS.search(self.text, key.end(), last)
        if any_gap is None:
            return None
        boundary = _between_rows(frozenset(self._first_keys | self._keys(start, any_gap.start())))
        first = boundary.search(self.text, any_gap.start(), last)
        if first is None:
            return None
        self._bytes_left -= (first.end() if end is None else last) - start
        if end is None:
            return first.start() + 1
        for string in _OPEN_STRING.finditer(self.text, start, last):
            found = boundary.search(self.text, string.start(), last) if string.end() > first.start() else None
            if found is None:
                continue
            if string.start() < found.start() < string.end():
                return found.start() + 1
            first = found
        return None

    def _keys(self, start: int, end: int) -> set[bytes]:
        """Return the keys of the object that begins here, as far as they can be found."""
        keys, depth = set(), 0
        for token in _KEY_OR_BRACKET.finditer(self.text, start, end):
            if token[0] in (b"{", b"["):
                depth += 1
            elif token[0] in (b"}", b"]"):
                depth -= 1
            elif depth == 1 and token[1]:
                keys.add(token[1])
        return keys

    def _end_of_last_row(self, start: int, opening: int) -> int | None:
        """Return where the last row ends: where its list ends, so that the rest of the body matches."""
        place = len(self.text)
        for _ in range(_MOST_ENDS):
            place = self.text.rfind(b"]", start, place)
            if place < 0:
                return None
            row = self.text[start:place].rstrip(_WHITE)
            rest = _Scan(self._without_rows(opening, place))
            first = rest.after_space(0)
            end = rest.end_of(first)
            if row.endswith(b"}") and end is not None and rest.after_space(end) == len(rest.text):
                return start + len(row)
        return None

    def _without_rows(self, opening: int, closing: int) -> bytes:
        return self.text[: opening + 1] + self.text[closing:]

    def _after(self, pattern: re.Pattern[bytes], place: int) -> int:
        found = pattern.match(self.text, place)
        return place if found is None else found.end()

    def _is_at(self, place: int, char: bytes) -> bool:
        return self.text[place : place + 1] == char


@lru_cache(maxsize=64)
def _between_rows(keys: frozenset[bytes]) -> re.Pattern[bytes]:
    """Return a pattern of what is between two rows of which the second begins with one of these keys."""
    return re.compile(_GAP + rb"(?:" + b"|".join(map(re.escape, sorted(keys))) + rb")[ \t\r\n]*+:")
