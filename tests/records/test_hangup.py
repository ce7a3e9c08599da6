import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import Hangup, HangupCategory, HangupParty, explain_hangup
from nxcdr_async.records.hangup import HANGUPS

PUBLISHED = {
    HangupCategory.ENDED: "1000 1001 2001 3001 1002 2002 3002 1004 2004 3003 2003 2000 3000",
    HangupCategory.VOICEMAIL: "1003 10031 10032",
    HangupCategory.NOT_ANSWERED: (
        "1101 1102 1103 11031 11032 1104 11041 11042 1105 1106 1107 1108 2101 2102 2103 2104 2105 2106 2107"
    ),
    HangupCategory.FORWARDED: "1109 1110 1111",
    HangupCategory.NOT_CONNECTED: "2201 2202 2203 2204 2205 2206",
    HangupCategory.TRANSFER_FAILED: "3101 3102 3103 3104 31041 31042 3105 3106 3107",
}


def test_every_published_code_is_known_in_its_group() -> None:
    known = {code: hangup.category for code, hangup in HANGUPS.items()}
    assert known == {int(code): category for category, codes in PUBLISHED.items() for code in codes.split()}


@pytest.mark.parametrize(
    ("party", "codes"),
    [
        (HangupParty.AGENT, [1001, 2001, 3001, 2003, 1101, 2101, 3101, 2206]),
        (HangupParty.USER, [1002, 2002, 3002, 1102, 1103, 11031, 1108, 2102, 2103, 1111, 3102, 3103, 3107]),
        (HangupParty.NETWORK, [1004, 2004, 3003, 2204, 2205]),
        (HangupParty.OUTSIDE_LINE, [1109]),
        (HangupParty.SYSTEM, [1104, 1105, 1106, 1107, 2104, 2105, 3104, 3105, 1003]),
        (HangupParty.UNKNOWN, [1000, 2000, 3000]),
    ],
)
def test_a_code_tells_who_ended_the_call(party: HangupParty, codes: list[int]) -> None:
    assert {code: explain_hangup(code).party for code in codes} == dict.fromkeys(codes, party)


@given(st.integers().filter(lambda code: code not in HANGUPS))
def test_an_unknown_code_keeps_its_number(code: int) -> None:
    assert explain_hangup(code) == Hangup(code, f"unknown code {code}", HangupCategory.UNKNOWN, HangupParty.UNKNOWN)


def test_every_meaning_is_one_short_english_phrase() -> None:
    for hangup in HANGUPS.values():
        assert re.fullmatch(r"[a-z][a-z, ]{3,60}", hangup.meaning), hangup


def test_no_code_stands_in_two_groups() -> None:
    source = Path(str(explain_hangup.__code__.co_filename)).read_text(encoding="utf-8")
    codes = re.findall(r"^\s+(\d{4,5}): \(", source, re.MULTILINE)
    assert len(codes) == len(set(codes)) == len(HANGUPS)
