"""Several rows with one call id, such as the legs of a transfer: which rows are one and the same. Pure.

No document says whether a call id may stand in several rows. Two rows with one id are used for one call that changed
if they start within a second of each other; if they start farther apart, or stand on one page together, for two.
"""

from collections.abc import Callable, Sequence
from typing import Any

APART_MS = 1_000
"""Milliseconds between the starts of two rows with one id that make them two; a push may cut them to seconds."""


def pairs(
    known: Sequence[float],
    new: Sequence[float],
    likeness: Callable[[int, int], Any] | None = None,
    apart: float = APART_MS,
) -> list[int | None]:
    """Match rows with one id against the known rows with it; no row is matched twice.

    Args:
        known: when the known rows start, epoch milliseconds.
        new: when the new rows start.
        likeness: returns how alike a known and a new row are, by their indices; of equally likely matches the nearest
            in time is taken.
        apart: milliseconds between two starts from which on they are two rows.

    Returns:
        for each new row the index of the known row that it is, None if it is none of them.
    """
    near = [
        (0 if likeness is None else -likeness(place, number), abs(start - known_start), number, place)
        for number, start in enumerate(new)
        for place, known_start in enumerate(known)
        if abs(start - known_start) < apart
    ]
    found: list[int | None] = [None] * len(new)
    used: set[int] = set()
    for _, _, number, place in sorted(near):
        if found[number] is None and place not in used:
            found[number] = place
            used.add(place)
    return found


def clusters(starts: Sequence[float]) -> list[list[int]]:
    """Group the indices of rows that start within a second of the first of them, in order of time."""
    groups: list[list[int]] = []
    for place in sorted(range(len(starts)), key=starts.__getitem__):
        if groups and starts[place] - starts[groups[-1][0]] < APART_MS:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
