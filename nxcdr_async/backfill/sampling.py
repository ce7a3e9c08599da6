"""Which windows a verification reads again. Pure: chance is an argument."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from attrs import evolve

from nxcdr_async.backfill.ledger import Entry, Reading, readings_of


def sample(entries: Sequence[Entry], count: int, below: Callable[[int], int]) -> list[Entry]:
    """Choose windows all over the range: one of each part of it, any of them as likely as any other.

    Args:
        entries: in order of time.
        count: how many to choose, all if there are no more.
        below: returns a whole number from 0 to below its argument, by chance.
    """
    parts = min(count, len(entries))
    edges = [len(entries) * part // parts for part in range(parts + 1)] if parts else []
    return [entries[first + below(last - first)] for first, last in pairwise(edges)]


def readings_again(entries: Sequence[Entry], most_rows: int) -> list[Reading]:
    """Return what to read to have windows again as they are: neighbours in one go, up to a number of rows.

    Args:
        entries: in order of time.
        most_rows: rows after which a reading ends with its window.
    """
    readings: list[Reading] = []
    group: list[Entry] = []
    rows = 0
    for entry in entries:
        if rows + entry.rows > most_rows:
            readings += _each_alone(group)
            group, rows = [], 0
        group.append(entry)
        rows += entry.rows
    return readings + _each_alone(group)


def _each_alone(entries: Sequence[Entry]) -> list[Reading]:
    readings = readings_of((), entries)
    return [evolve(reading, ends=tuple(window.end for window in reading.rigid)) for reading in readings]
