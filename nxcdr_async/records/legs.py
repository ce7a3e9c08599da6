"""Several rows under one call id, such as the legs of a transfer: which rows are one and the same. Pure.

No document says whether a call id may stand in several rows. Two rows with one id are taken for one call that changed
if they start within a second of each other; if they start farther apart, or stand on one page together, for two.
"""

from collections.abc import Callable, Sequence
from typing import Any

APART_MS = 1_000
"""Milliseconds from which on the starts of two rows with one id tell them apart; a push may cut them to seconds."""


def pairs(
    known: Sequence[float],
    came: Sequence[float],
    likeness: Callable[[int, int], Any] | None = None,
    apart: float = APART_MS,
) -> list[int | None]:
    """Tell of each row that came which of those known it is; no row is two.

    Args:
        known: when the rows start that are known under an id, epoch milliseconds.
        came: when the rows start that came under it.
        likeness: how much a row that came is like a known one, by their places, where several may be the same; the
            nearest in time is taken if none is more alike than others.
        apart: milliseconds from which on the starts of two rows tell them apart.

    Returns:
        the place of the known row for each that came, None for a new one.
    """
    near = [
        (0 if likeness is None else -likeness(place, number), abs(start - begun), number, place)
        for number, start in enumerate(came)
        for place, begun in enumerate(known)
        if abs(start - begun) < apart
    ]
    found: list[int | None] = [None] * len(came)
    taken: set[int] = set()
    for _, _, number, place in sorted(near):
        if found[number] is None and place not in taken:
            found[number] = place
            taken.add(place)
    return found


def clusters(starts: Sequence[float]) -> list[list[int]]:
    """Put the places of rows together that start within a second of the first of them, in order of time."""
    groups: list[list[int]] = []
    for place in sorted(range(len(starts)), key=starts.__getitem__):
        if groups and starts[place] - starts[groups[-1][0]] < APART_MS:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
