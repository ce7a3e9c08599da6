"""Whether something grew. Pure: what was measured in, complaints out."""

from collections.abc import Sequence
from statistics import median

from attrs import define

WARM_UP = 0.25
"""How much of the quiet points is left out: caches fill and the allocator takes what it will keep."""

LEAST = {"kib": 4_096, "blocks": 4_000, "objects": 400}
"""Growth that is none.

Resident memory keeps what the largest streams so far took, in pieces too small to be handed back, and the largest of
many random ones still rises for a while. The two other figures are exact, and differ by what the interpreter keeps for
its own use: a record kept for each stream, or a task for each session, is far above that within a few minutes.
"""

COUNTED = ("tasks", "files", "connections")
"""What has to be as few at each quiet point as before any load."""

NOISE = 3.0
"""Growth of the median must stand out so many times from the noise, the median distance of a third from its own median.

A steady leak cannot hide behind the noise it makes itself: over a third it is a sixth of what it grew between the two
thirds that are compared, or an eighth if they touch."""


@define(frozen=True)
class Point:
    """What was held at a quiet point.

    Attributes:
        seconds: since the start.
        kib: resident memory of this process.
        blocks: small pieces of memory that Python has in use, after a collection.
        objects: what the garbage collector knows of, after a collection.
        tasks: tasks of the loop.
        files: open files and sockets of this process.
        connections: connections that are open on the emulator's side.
    """

    seconds: float
    kib: int
    blocks: int
    objects: int
    tasks: int
    files: int
    connections: int


@define(frozen=True)
class Change:
    """How a figure changed between the first and the last third of the quiet points.

    Attributes:
        figure: its name.
        first: its median in the first third.
        last: its median in the last third.
        allowed: growth that is noise.
    """

    figure: str
    first: float
    last: float
    allowed: float

    @property
    def has_grown(self) -> bool:
        """Whether it grew by more than noise."""
        return self.last - self.first > self.allowed

    def in_words(self) -> str:
        """Say how it changed."""
        return f"{self.figure} {self.first:,.0f} -> {self.last:,.0f} (noise {self.allowed:,.0f})"


def changes(before: Point, points: Sequence[Point]) -> list[Change]:
    """Return how each figure changed.

    Args:
        before: what was held before any load.
        points: the quiet points, in turn; four at least.
    """
    if len(points) < 4:
        raise ValueError(f"{len(points)} quiet points tell nothing: go on for longer")
    settled = points[int(len(points) * WARM_UP) :]
    third = max(1, len(settled) // 3)
    found = []
    for figure, least in LEAST.items():
        first, last = ([getattr(point, figure) for point in part] for part in (settled[:third], settled[-third:]))
        noise = NOISE * max(_spread(first), _spread(last))
        found.append(Change(figure, median(first), median(last), max(least, noise)))
    found += [
        Change(figure, getattr(before, figure), max(getattr(point, figure) for point in points), 0)
        for figure in COUNTED
    ]
    return found


def _spread(values: Sequence[int]) -> float:
    middle = median(values)
    return median(abs(value - middle) for value in values)
