"""The rows of the pages of a window, each once: rows that moved to another page are told from legs of a call. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.protocol.responses import Dated
from nxcdr_async.records.legs import APART_MS, clusters

_identity = attrgetter("identity")


@define(frozen=True)
class Company:
    """Rows with one id that start within a second of each other, of which the pages do not tell whether they are one.

    Attributes:
        identity: their id.
        start_ms: when the first of them starts, epoch milliseconds.
        page: the number of the page where one stands twice; None where different ones stand on different pages.
    """

    identity: Any
    start_ms: float
    page: int | None

    def has(self, row: Dated) -> bool:
        """Tell whether a row may be one of them."""
        return bool(row.identity == self.identity and abs(row.start_ms - self.start_ms) < APART_MS)


@define
class DistinctRows:
    """Rows of a window, each once.

    Attributes:
        rows: the rows, in the order they came; behind them those that were asked for again.
        duplicates: how many were left out, as they stood there already.
        doubtful: rows that may be one or several; `rows` has all that may be.
    """

    rows: list[Dated]
    duplicates: int = 0
    doubtful: list[Company] = field(factory=list)

    @property
    def sure(self) -> list[Dated]:
        """The rows without those that may stand there already: of each doubtful company only the first."""
        seen: set[Company] = set()
        kept = []
        for row in self.rows:
            company = next((company for company in self.doubtful if company.has(row)), None)
            if company is None or company not in seen:
                kept.append(row)
            if company is not None:
                seen.add(company)
        return kept


def distinct_rows(pages: Sequence[Sequence[Dated]], settled: Mapping[Company, list[Dated]]) -> DistinctRows:
    """Tell the rows of pages apart.

    Rows that arrive push others to the next page, where these stand again. So what stands on two pages just so is one
    row. Different rows on one page are several, however near they start. What is the same on one page, or different on
    two, is doubtful: a gateway may answer with a row twice, or a row may change while its window is read.

    Args:
        pages: those of a window, in order.
        settled: what was asked about rows that are doubtful, and came.
    """
    rows = list(chain.from_iterable(pages))
    repeated = repeated_identities(rows)
    if not repeated:
        return DistinctRows(rows)
    found = DistinctRows([row for row in rows if row.identity not in repeated])
    placed: defaultdict[Any, list[tuple[int, Dated]]] = defaultdict(list)
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


def repeated_identities(rows: Sequence[Dated]) -> set[Any]:
    """Return the ids that several rows have."""
    identities = list(map(_identity, rows))
    if len(set(identities)) == len(rows):
        return set()
    return {identity for identity, count in Counter(identities).items() if count > 1 and identity is not None}


def _add(
    identity: Any, members: list[tuple[int, Dated]], settled: Mapping[Company, list[Dated]], found: DistinctRows
) -> None:
    """Add rows with one id that start within a second, each with the number of its page."""
    distinct = _most_on_one_page(members)
    twice = next((page for page, row in members if _count(row, page, members) > 1), None)
    company = Company(identity, min(row.start_ms for _, row in members), twice)
    if company in settled:
        distinct = settled[company] or distinct
    elif len(distinct) > 1 and (twice is not None or not _stand_together(distinct, members)):
        found.doubtful.append(company)
    found.rows += distinct


def _count(row: Dated, page: int, members: list[tuple[int, Dated]]) -> int:
    return sum(number == page and each == row for number, each in members)


def _most_on_one_page(members: list[tuple[int, Dated]]) -> list[Dated]:
    """Return each different row as often as it stands on that page where it stands most often."""
    kinds: list[tuple[Dated, dict[int, int]]] = []
    for number, row in members:
        counts = next((counts for kind, counts in kinds if kind == row), None)
        if counts is None:
            counts = {}
            kinds.append((row, counts))
        counts[number] = counts.get(number, 0) + 1
    return [row for row, counts in kinds for _ in range(max(counts.values()))]


def _stand_together(distinct: list[Dated], members: list[tuple[int, Dated]]) -> bool:
    """Tell whether different rows all stand on one page."""
    return any(all(_count(row, page, members) for row in distinct) for page, _ in members)


def first_of_each(rows: Sequence[Dated]) -> list[Dated]:
    """Return the first row of each id, and all without one, of an API whose ids are those of rows."""
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
