"""Replies bent in any way, read both ways and by whole sessions over HTTP: records, or an error of ours."""

import random
from contextlib import suppress

import pytest
from hypothesis import example, given, strategies as st

from nxcdr_async import NxcdrError
from tests.strange.bodies import STATUSES, read_both_ways, strange_body
from tests.strange.server import APIS, Answer, read_all, serving, session_on

BODIES_EACH = 500
SESSIONS = 60


@pytest.mark.parametrize("api", APIS)
def test_both_ways_tell_the_same_of_any_reply(api: str) -> None:
    for seed in range(BODIES_EACH):
        chance = random.Random(f"{api} {seed}")
        read_both_ways(api, strange_body(api, chance), chance.choice(STATUSES))


@given(st.sampled_from(APIS), st.binary(), st.sampled_from(STATUSES))
@example("calls", b'{"code": 0, "data": [{}]}', 200)
def test_any_bytes_are_a_page_or_an_error_of_ours(api: str, body: bytes, status: int) -> None:
    read_both_ways(api, body, status)


async def test_a_session_that_gets_any_replies_ends_with_records_or_an_error_of_ours() -> None:
    chance = random.Random(1)

    def script(api: str, _: object) -> Answer:
        return Answer(strange_body(api, chance), chance.choice(STATUSES))

    async with serving(script) as url:
        for number in range(SESSIONS):
            async with session_on(url) as session:
                with suppress(NxcdrError):
                    await read_all(session, APIS[number % len(APIS)])
                assert session.stats.in_flight == 0
