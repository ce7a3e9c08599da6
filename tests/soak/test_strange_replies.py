"""A hundred thousand strange replies, stories and sessions, each from its own seed: nothing lost, no error but ours.

Takes about ten minutes: `python -m pytest tests/soak/test_strange_replies.py`.
"""

import random
from collections import Counter

import pytest

from nxcdr_async import NxcdrError
from tests.strange.bodies import STATUSES, read_both_ways, strange_body
from tests.strange.gateway import small_pages
from tests.strange.server import APIS, Answer, read_all, serving, session_on
from tests.strange.story import play

BODIES, STORIES, SESSIONS = 84_000, 10_000, 6_000
BLOCK = 1_000
"""Cases of one test, so that progress shows."""


def blocks(cases: int) -> list[range]:
    return [range(first, first + BLOCK) for first in range(0, cases, BLOCK)]


def named(seeds: range) -> str:
    return f"{seeds.start}"


@pytest.mark.parametrize("seeds", blocks(BODIES), ids=named)
def test_both_ways_tell_the_same_of_any_reply(seeds: range) -> None:
    ends: Counter[str] = Counter()
    for seed in seeds:
        chance = random.Random(f"body {seed}")
        api = APIS[seed % len(APIS)]
        ends[read_both_ways(api, strange_body(api, chance), chance.choice(STATUSES))] += 1
    print(dict(ends))  # noqa: T201 - what -rP shows
    assert ends["page"]


@pytest.mark.parametrize("seeds", blocks(STORIES), ids=named)
def test_a_gateway_whose_ways_change_gives_all_or_an_error(seeds: range) -> None:
    ends: Counter[str] = Counter()
    with small_pages():
        for seed in seeds:
            ends.update(play(seed))
    print(dict(ends))  # noqa: T201 - what -rP shows
    assert ends["complete"]


@pytest.mark.parametrize("seeds", blocks(SESSIONS), ids=named)
async def test_a_session_that_gets_any_replies_ends_with_records_or_an_error_of_ours(seeds: range) -> None:
    ends: Counter[str] = Counter()
    chance = random.Random(f"session {seeds.start}")

    def script(api: str, _: object) -> Answer:
        return Answer(strange_body(api, chance), chance.choice(STATUSES))

    async with serving(script, most_questions=1_000 * BLOCK) as url:
        for seed in seeds:
            async with session_on(url) as session:
                try:
                    await read_all(session, APIS[seed % len(APIS)])
                    ends["complete"] += 1
                except NxcdrError as error:
                    ends[type(error).__name__] += 1
                assert session.stats.in_flight == 0
    print(dict(ends))  # noqa: T201 - what -rP shows
    assert ends["complete"]
