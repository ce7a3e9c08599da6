"""What may happen to a strange gateway, drawn from a seed: the same story each time, and thousands in a minute."""

import random
from typing import Any

from tests.strange.gateway import HOUR, PAGE, Kind, StrangeWorld, Trick

KINDS: list[Kind] = [
    ("calls", ""),
    ("calls", ""),
    ("calls", "INBOUND"),
    ("did", ""),
    ("did", "OUTBOUND"),
    ("flash", ""),
]
HARMLESS: list[Trick] = ["empty", "vague", "doubled"]
TRICKS: list[Trick] = [*HARMLESS, *HARMLESS, "fault", "junk", "malformed"]
EDGES = [0, 1, 999, 1000, 1001, 59_000, 3_599_999]


def play(seed: int) -> list[str]:
    """Play one story to its end, and return how its queries ended.

    Raises:
        AssertionError: a record was lost in silence, came twice or out of order, or an error was none of ours.
    """
    chance = random.Random(seed)
    world = StrangeWorld(readers=chance.randrange(1, 9))
    world.gateway.chance = chance
    try:
        world.behave(cap=chance.choice([PAGE, PAGE, PAGE, 1, 2, 3]))
        _arrive(world, chance, 80)
        return [_play_query(world, chance) for _ in range(chance.randrange(1, 5))]
    except AssertionError as fault:
        fault.add_note(f"story {seed}")
        world.query = None
        raise
    finally:
        world.close()


def _play_query(world: StrangeWorld, chance: random.Random) -> str:
    del world.gateway.rows[: chance.choice([0, 0, 5])]
    _arrive(world, chance, 20)
    world.gateway.left_to_arrive = chance.randrange(20)
    world.behave(
        order_seed=chance.randrange(4),
        overlap=chance.choice([0, 0, chance.randrange(PAGE)]),
        ignores_filter=chance.random() < 0.1,
        is_generous=chance.random() < 0.1,
        **_at_any_time(chance),
    )
    rate = chance.choice([0.0, 0.02, 0.3])
    query = world.ask(chance.choice(KINDS))
    while world.query is not None:
        if chance.random() < 0.05:
            world.behave(**_at_any_time(chance))
        trick = chance.choice(TRICKS) if chance.random() < rate else None
        world.answer(chance.randrange(20), trick)
    return type(query.error).__name__ if query.error else "complete"


def _at_any_time(chance: random.Random) -> dict[str, Any]:
    """Return how the gateway behaves from now on, in ways that may change in the middle of a query."""
    return {
        "repeats_last_page": chance.random() < 0.2,
        "ignores_page": chance.random() < 0.1,
        "lies": chance.choice([0] * 8 + [-1, 1, 2]),
        "arrivals": chance.choice([0, 0, 1, 2]),
        "writes_plainly": chance.random() < 0.7,
    }


def _arrive(world: StrangeWorld, chance: random.Random, most: int) -> None:
    """Have rows turn up all over the hour, in three seconds of it, or just at its edges."""
    count, way = chance.randrange(most), chance.randrange(3)
    for _ in range(count):
        possible = chance.randrange(HOUR * 1000), 1_800_000 + chance.randrange(3_000), chance.choice(EDGES)
        world.gateway.add(possible[way])
