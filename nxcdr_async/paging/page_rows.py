"""The rows of the pages of a window, each once: a row that moved to another page is no second leg of a call. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.protocol.responses import Row
from nxcdr_async.records.legs import APART_MS, clusters

_identity = attrgetter("identity")


@define(frozen=True)
class AmbiguousRows:
    """Rows with one id and starts within a second of each other, which may be one row or several.

    Attributes:
        start_ms: when the first of them starts, epoch milliseconds.
        page: the number of the page where one stands twice; None where different ones stand on different pages.
    """

    identity: Any
    start_ms: float
    page: int | None

    def has(self, row: Row) -> bool:
        """Return whether a row may be one of them."""
        return bool(row.identity == self.identity and abs(row.start_ms - self.start_ms) < APART_MS)


@define
class DistinctRows:
    """The rows of a window, each once.

    Attributes:
        rows: in the order they came, then those that were requested again; ambiguous ones are all there.
        duplicates: how many were left out.
    """

    rows: list[Row]
    duplicates: int = 0
    ambiguous: list[AmbiguousRows] = field(factory=list)

    @property
    def certain(self) -> list[Row]:
        """The rows, of ambiguous ones only the first."""
        if not self.ambiguous:
            return self.rows
        seen: set[AmbiguousRows] = set()
        kept = []
        for row in self.rows:
            group = next((group for group in self.ambiguous if group.has(row)), None)
            if group is None or group not in seen:
                kept.append(row)
            if group is not None:
                seen.add(group)
        return kept


def distinct_rows(pages: Sequence[Sequence[Row]], settled: Mapping[AmbiguousRows, list[Row]]) -> DistinctRows:
    """Return the rows of the pages of a window, each once.

    Rows that arrive push others to the next page, where these stand again. So equal rows on two pages are one row.
    Different rows on one page are several, however near they start. Equal rows on one page, or different ones with one
    id on two, are ambiguous: a gateway may answer with a row twice, or a row may change while its window is read.

    Args:
        pages: those of a window, in order.
        settled: the rows that came when ambiguous ones were requested again.
    """
    rows = list(chain.from_iterable(pages))
    repeated = repeated_identities(rows)
    if not repeated:
        return DistinctRows(rows)
    found = DistinctRows([row for row in rows if row.identity not in repeated])
    placed: defaultdict[Any, list[tuple[int, Row]]] = defaultdict(list)
    for number, page in enumerate(pages, 1):
        for row in page:
            if row.identity in repeated:
                placed[row.identity].append((number, row))
    for identity, members in placed.items():
        for group in clusters([row.start_ms for _, row in members]):
            _add(identity, [members[place] for place in sorted(group)], settled, found)
    places = {id(row): place for place, row in enumerate(rows)}
    found.rows.sort(key=lambda row: places.get(id(row), len(rows)))
    found.duplicates = max(0, len(rows) - len(found.rows))
    return found


def repeated_identities(rows: Sequence[Row]) -> set[Any]:
    """Return the ids that more than one row has."""
    if len(set(map(_identity, rows))) == len(rows):
        return set()
    return {identity for identity, count in Counter(map(_identity, rows)).items() if count > 1 and identity is not None}


def _add(
    identity: Any, members: list[tuple[int, Row]], settled: Mapping[AmbiguousRows, list[Row]], found: DistinctRows
) -> None:
    """Add rows with one id that start within a second; `members` has the page number of each."""
    distinct = _most_on_one_page(members)
    twice = next((page for page, row in members if _count(row, page, members) > 1), None)
    group = AmbiguousRows(identity, min(row.start_ms for _, row in members), twice)
    if group in settled:
        distinct = settled[group] or distinct
    elif len(distinct) > 1 and (twice is not None or not _stand_together(distinct, members)):
        found.ambiguous.append(group)
    found.rows += distinct


def _count(row: Row, page: int, members: list[tuple[int, Row]]) -> int:
    return sum(number == page and each == row for number, each in members)


def _most_on_one_page(members: list[tuple[int, Row]]) -> list[Row]:
    """Return each different row as often as it stands on the page that has it most often."""
    kinds: list[tuple[Row, dict[int, int]]] = []
    for number, row in members:
        counts = next((counts for kind, counts in kinds if kind == row), None)
        if counts is None:
            counts = {}
            kinds.append((row, counts))
        counts[number] = counts.get(number, 0) + 1
    return [row for row, counts in kinds for _ in range(max(counts.values()))]


def _stand_together(distinct: list[Row], members: list[tuple[int, Row]]) -> bool:
    """Return whether different rows all stand on one page."""
    return any(all(_count(row, page, members) for row in distinct) for page, _ in members)


def first_of_each(rows: Sequence[Row]) -> list[Row]:
    """Return the first row of each id, and all without one, for an API whose ids are unique to a row."""
    repeated = repeated_identities(rows)
    if not repeated:
        return list(rows)
    seen: set[Any] = set()
    kept = []
    for row in rows:
        if row.identity in seen:
            continue
        if row.identity in repeated:
            seen.add(row.identity)
        kept.append(row)
    return kept
