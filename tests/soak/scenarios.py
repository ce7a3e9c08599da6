"""Gateways with bounds and lines drawn by chance, each from its own seed, and what a session makes of one."""

from random import Random

from attrs import define

from nxcdr_async.limits.concurrency import HIGHEST_LIMIT
from tests.throttling.model import Bounds, Line, run

SECONDS_TO_SETTLE, REPLIES_TO_SETTLE = 40, 400
SECONDS_MEASURED, REPLIES_MEASURED = 80, 1_200
LEAST_OF_BEST, MOST_REFUSED = 0.9, 0.02


@define(frozen=True)
class Found:
    """What came of one scenario: good replies a second, as a share of the best there can be, and the share refused."""

    scenario: str
    of_best: float
    refused: float

    @property
    def is_as_promised(self) -> bool:
        return self.of_best >= LEAST_OF_BEST and self.refused <= MOST_REFUSED


def play(seed: int) -> Found:
    """Play one scenario in virtual time."""
    chance = Random(f"adapting {seed}")
    at_once = chance.choice([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
    a_second = chance.choice([1, 2, 3, 5, 8, 15, 30, 60, 120])
    bounds = chance.choice([Bounds(at_once=at_once), Bounds(a_second=a_second), Bounds(at_once, a_second)])
    line = Line(
        latency=chance.choice([(0.05, 0.05), (0.02, 0.08), (0.005, 0.02), (0.1, 0.4), (0.3, 0.3)]),
        way=chance.choice([0, 0.02, 0.1, 0.3]),
        unevenness=chance.choice([0, 0.002, 0.01]),
    )
    sessions = chance.choice([1, 1, 1, 3])
    best = best_of(bounds, line)
    start = max(SECONDS_TO_SETTLE, REPLIES_TO_SETTLE / best)
    end = start + max(SECONDS_MEASURED, REPLIES_MEASURED / best)
    outcome = run(end, bounds, line, sessions=sessions)
    scenario = f"{seed}: {bounds}, {line}, sessions={sessions}"
    return Found(scenario, outcome.a_second(start, end) / best, outcome.throttled_share(start, end))


def best_of(bounds: Bounds, line: Line) -> float:
    """Return the good replies a second of a session that knows the bounds, and keeps to its own."""
    round_trip = sum(line.latency) / 2 + line.way + line.unevenness / 2
    at_once = min(bounds.at_once or HIGHEST_LIMIT, HIGHEST_LIMIT)
    return min(bounds.a_second or at_once / round_trip, at_once / round_trip)
