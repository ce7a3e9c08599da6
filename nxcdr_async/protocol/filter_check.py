"""Whether the rows of a response match the filters of the query. Pure.

A gateway that ignores a filter answers with other calls, and nothing else in its response shows it. A key that a row
lacks proves nothing. Directions, answers and ids are exact, so one row with another value is a contradiction. How the
vendor compares people and numbers is not documented: a country code more or less, the host after a number, a part of it
or a nickname may match. So only a value that matches in no such way counts, and only if most of several rows are like
that.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from nxcdr_async._util.redaction import NO_SECRETS, Redactor
from nxcdr_async.errors import IncompleteError
from nxcdr_async.protocol.responses import Page, column_of, text_of
from nxcdr_async.records.models import Direction

MOST_CONTRADICTING = 0.5
"""The share of rows that may not match a text in any known way, before its filter counts as ignored."""

FEWEST_TO_JUDGE = 5
"""Rows with a value before a text filter is judged: a quiet hour may have one call only, which is an exception."""

ROWS_JUDGED = 100
"""Rows after which earlier ones begin to be forgotten: a gateway may start to ignore a filter at any time."""

_FEWEST_DIGITS = 3
_MASKED_NUMBER = re.compile(r"(?=.*(\d[ -]?[x#]|[x#]{2}))[\d +()./x#-]+")
"""A number with digits masked by X or #; with other letters around, these may belong to a name."""

_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_DIRECTIONS = {str(int(known)): known for known in Direction}


@define(frozen=True)
class Filter:
    """A filter of a query.

    Attributes:
        name: the user's name of it.
        wanted: the value the user gave.
        keys: the vendor's keys of a row that may match it; one match is enough.
        answers: returns whether a value, as text, may match it.
        most_contradicting: the share of rows that may not match it.
        fewest: rows with a value before it is judged.
    """

    name: str
    wanted: Any
    keys: tuple[str, ...]
    answers: Callable[[str], bool]
    most_contradicting: float = 0.0
    fewest: int = 1


def direction_filter(wanted: Direction, key: str) -> Filter:
    """Return the filter by the direction of a call; unknown numbers may mean anything."""
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
        most_contradicting=MOST_CONTRADICTING,
        fewest=FEWEST_TO_JUDGE,
    )


@define(eq=False)
class FilterCheck:
    """Checks the pages of a query for rows that contradict its filters.

    Attributes:
        redactor: keeps secrets out of errors, even if the gateway put them into a row.
    """

    filters: Sequence[Filter] = ()
    redactor: Redactor = NO_SECRETS
    _judged: Counter[str] = field(factory=Counter, init=False)
    _contradicting: Counter[str] = field(factory=Counter, init=False)

    def check(self, page: Page) -> None:
        """Check a page.

        Raises:
            IncompleteError: the gateway seems to ignore a filter.
        """
        for asked in self.filters if page.rows else ():
            self._judge(asked, _texts_in(asked, page))

    def _judge(self, asked: Filter, texts: Counter[tuple[str, ...]]) -> None:
        """Judge a filter by the texts of the rows that have any, and how often each came."""
        wrong = [values for values in texts if not any(map(asked.answers, values))]
        # Few rows are judged along with those before them: a last page may have a few wrong ones only.
        self._judged[asked.name] += texts.total()
        self._contradicting[asked.name] += sum(texts[values] for values in wrong)
        judged, contradicting = self._judged[asked.name], self._contradicting[asked.name]
        if wrong and judged >= asked.fewest and contradicting > asked.most_contradicting * judged:
            found = ", ".join(repr(self.redactor.text(value)) for value in wrong[0])
            raise IncompleteError(
                f"{contradicting} of {judged} rows do not answer {asked.name}={asked.wanted!r}, one "
                f"has {' and '.join(asked.keys)} {found}: the gateway, or something in front "
                "of it, ignores the filter; ask without it, and choose among the calls yourself",
            )
        if judged >= ROWS_JUDGED:
            self._judged[asked.name] //= 2
            self._contradicting[asked.name] //= 2


def _texts_in(asked: Filter, page: Page) -> Counter[tuple[str, ...]]:
    """Count the texts that rows have under the keys of a filter, without the rows that have none."""
    columns = [map(text_of, column_of(page.rows, key)) for key in asked.keys]
    rows = (tuple(text for text in texts if text is not None) for texts in zip(*columns, strict=True))
    return Counter(filter(None, rows))


def _plain(text: str) -> str:
    """Return a text without what databases may ignore: case, accents, width, and how letters are composed."""
    letters = unicodedata.normalize("NFKD", text)
    # By upper case first, as only so a dotless i becomes an i.
    return "".join(one for one in letters if not unicodedata.combining(one)).upper().casefold().strip()


def _identity(text: str) -> str:
    """Return an id in a form that is equal for equal ids, also as numbers: 00123 and 123."""
    plain = _plain(text)
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain


def _may_match(found: str, wanted: str) -> bool:
    """Return whether a gateway may match a text with what was asked for: all of it, a part, or the same number."""
    if "*" in found or _MASKED_NUMBER.fullmatch(found.partition("@")[0]):
        return True  # masked for us, not for the gateway
    if not found:
        return False
    if wanted in found or wanted.startswith(found) or wanted.endswith(found):
        return True
    numbers = _digits(found), _digits(wanted)
    shorter, longer = sorted(numbers, key=len)
    return len(shorter) >= _FEWEST_DIGITS and (longer.endswith(shorter) or longer.startswith(shorter))


def _digits(text: str) -> str:
    """Return the digits of a number, without leading zeros and the host after it."""
    digits = (unicodedata.decimal(char, None) for char in text.partition("@")[0])
    return "".join(str(digit) for digit in digits if digit is not None).lstrip("0")
