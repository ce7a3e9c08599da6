"""Whether the rows of a reply answer the filters that were asked for. Pure.

A gateway that ignores a filter answers with other calls, and nothing else in its reply says so. A key that a row lacks
tells nothing. Directions, answers and ids leave no doubt, so one row that says otherwise is a contradiction. How the
vendor compares people and numbers is not documented: a country code more or less, the host behind a number, a part of
it or a nickname may do. So only what matches in no such way counts, and only if most of several rows are like that.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.errors import IncompleteError
from nxcdr_async.protocol.responses import Page, text_of
from nxcdr_async.records.models import Direction

MOST_ODD = 0.5
"""The part of the rows that may match a text in no way that we know of, before it is taken to be ignored."""

FEWEST_TO_JUDGE = 5
"""Rows that must tell of a text before it is judged: one call in a quiet hour is all the rows there are, and odd."""

ROWS_IN_MIND = 100
"""Rows after which those that came before begin to be forgotten: a gateway may start to ignore a filter at any time."""

_FEWEST_DIGITS = 3
_MASKED_NUMBER = re.compile(r"(?=.*(\d[ -]?[x#]|[x#]{2}))[\d +()./x#-]+")
"""A number of which a part is hidden by X or #; with other letters around they may belong to a name."""

_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_DIRECTIONS = {str(int(known)): known for known in Direction}
_TYPED_NAMES = {"callId": "identity"}


@define(frozen=True)
class Filter:
    """A filter that was asked for.

    Attributes:
        name: what the user calls it.
        wanted: the value the user gave.
        keys: the vendor's keys of a row that may answer it; one that does is enough.
        answers: whether a value, as text, answers it, or may do so.
        most_odd: the part of the rows that may seem to contradict it.
        fewest: rows that must tell of it before it is judged.
    """

    name: str
    wanted: Any
    keys: tuple[str, ...]
    answers: Callable[[str], bool]
    most_odd: float = 0.0
    fewest: int = 1


def direction_filter(wanted: Direction, key: str) -> Filter:
    """Return the filter by the direction of a call; numbers nobody knows yet may mean anything."""
    return Filter("direction", wanted.name, (key,), lambda found: _DIRECTIONS.get(found, wanted) is wanted)


def answered_filter(wanted: bool) -> Filter:  # noqa: FBT001 - the very value that was asked for
    """Return the filter of answered calls, or of those that were not."""
    return Filter("answered", wanted, ("answered",), lambda found: _TRUTH.get(found, wanted) is wanted)


def id_filter(name: str, wanted: str, key: str) -> Filter:
    """Return the filter by an id. Databases may hold it as a number, or compare without regard to case and spaces."""
    right = _identity(wanted)
    return Filter(name, wanted, (key,), lambda found: _identity(found) == right)


def text_filter(name: str, wanted: str, *keys: str) -> Filter:
    """Return the filter by a person or a number."""
    right = _plain(wanted)
    return Filter(
        name,
        wanted,
        keys,
        lambda found: _may_match(_plain(found), right),
        most_odd=MOST_ODD,
        fewest=FEWEST_TO_JUDGE,
    )


@define(eq=False)
class FilterCheck:
    """Looks at each page of a query for rows that contradict its filters.

    Attributes:
        filters: those that were asked for.
    """

    filters: Sequence[Filter] = ()
    _in_mind: Counter[str] = field(factory=Counter, init=False)
    _odd: Counter[str] = field(factory=Counter, init=False)

    def take(self, page: Page) -> None:
        """Look at a page.

        Raises:
            IncompleteError: the gateway seems to ignore a filter.
        """
        for one in self.filters if page.rows else ():
            self._judge(one, _told(one, page))

    def _judge(self, one: Filter, told: Counter[Any]) -> None:
        """Judge a filter by the values of the rows that tell any, and how often each came."""
        odd = [values for values in told if not any(map(one.answers, values))]
        # Few rows are judged along with those before them: what is odd may be all that the last page holds.
        self._in_mind[one.name] += told.total()
        self._odd[one.name] += sum(told[values] for values in odd)
        is_enough = self._in_mind[one.name] >= one.fewest
        if odd and is_enough and self._odd[one.name] > one.most_odd * self._in_mind[one.name]:
            raise IncompleteError(
                f"{self._odd[one.name]} of {self._in_mind[one.name]} rows do not answer {one.name}={one.wanted!r}, one "
                f"has {' and '.join(one.keys)} {', '.join(map(repr, odd[0]))}: the gateway, or something in front of "
                "it, ignores the filter; ask without it, and choose among the calls yourself",
            )
        if self._in_mind[one.name] >= ROWS_IN_MIND:
            self._in_mind[one.name] //= 2
            self._odd[one.name] //= 2


def _told(one: Filter, page: Page) -> Counter[tuple[str, ...]]:
    """Count what rows tell under the keys of a filter, as texts, leaving out the rows that tell nothing."""
    counts = Counter(_columns(one.keys, page.rows)) if page.is_typed else Counter(_values(one.keys, page.rows))
    told: Counter[tuple[str, ...]] = Counter()
    for values, count in counts.items():
        texts = tuple(text for value in values if (text := text_of(value)) is not None)
        if texts:
            told[texts] += count
    return told


def _columns(keys: tuple[str, ...], rows: list[Any]) -> Iterable[tuple[Any, ...]]:
    return zip(*(map(attrgetter(_TYPED_NAMES.get(key, key)), rows) for key in keys), strict=True)


def _values(keys: tuple[str, ...], rows: list[Any]) -> Iterable[tuple[Any, ...]]:
    """Yield the values of rows of any kind as texts, as true and 1 would be counted as one."""
    for row in rows:
        if isinstance(row, dict):
            yield tuple(text_of(row.get(key)) for key in keys)
        else:
            yield tuple(text_of(getattr(row, _TYPED_NAMES.get(key, key), None)) for key in keys)


def _plain(text: str) -> str:
    """Return a text without what databases may overlook: case, accents, width, and the way letters are put together."""
    letters = unicodedata.normalize("NFKD", text)
    # By way of upper case, as a dotless i has no other way to become an i.
    return "".join(one for one in letters if not unicodedata.combining(one)).upper().casefold().strip()


def _identity(text: str) -> str:
    """Return what two ids have in common if they are the same: as numbers if they are such, 00123 and 123."""
    plain = _plain(text)
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain


def _may_match(found: str, wanted: str) -> bool:
    """Tell whether a gateway may take a text for what was asked for: all of it, a part, or the same number."""
    if "*" in found or _MASKED_NUMBER.fullmatch(found.partition("@")[0]):
        return True  # hidden from us, not from the gateway
    if not found:
        return False
    if wanted in found or wanted.startswith(found) or wanted.endswith(found):
        return True
    numbers = _digits(found), _digits(wanted)
    shorter, longer = sorted(numbers, key=len)
    return len(shorter) >= _FEWEST_DIGITS and (longer.endswith(shorter) or longer.startswith(shorter))


def _digits(text: str) -> str:
    """Return the digits of a number, without the zeros before it and the host behind it."""
    digits = (unicodedata.decimal(char, None) for char in text.partition("@")[0])
    return "".join(str(digit) for digit in digits if digit is not None).lstrip("0")
