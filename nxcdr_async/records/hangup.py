"""Why a call ended: the vendor's hangup codes as meaning, category and party.

The first digit of a code is the kind of call: 1 inbound, 2 outbound, 3 AICC (robot calls, transfer to a person).
"""

from enum import Enum

from attrs import define

from nxcdr_async._util.validation import as_whole
from nxcdr_async.errors import ConfigurationError


class HangupParty(Enum):
    """Who ended the call, by its hangup code (the vendor's own `hangupBy` contradicts its codes)."""

    AGENT = "agent"
    USER = "user"
    OUTSIDE_LINE = "outside line"
    NETWORK = "network"
    SYSTEM = "system"
    UNKNOWN = "unknown"


class HangupCategory(Enum):
    """The group a hangup code belongs to."""

    ENDED = "ended normally"
    VOICEMAIL = "voicemail"
    NOT_ANSWERED = "not answered"
    FORWARDED = "forwarded outside"
    NOT_CONNECTED = "not connected"
    TRANSFER_FAILED = "transfer failed"
    UNKNOWN = "unknown"


@define(frozen=True)
class Hangup:
    """What a hangup code means; made by `explain_hangup`, or `call.hangup`.

    Attributes:
        code: the vendor's number (`hangupCode` of cdr/page).
        meaning: one short English phrase.
        category: the group it belongs to.
        party: who ended the call.
    """

    code: int
    meaning: str
    category: HangupCategory
    party: HangupParty


def explain_hangup(code: int) -> Hangup:
    """Return what a hangup code means; an unknown code keeps its number, under `HangupCategory.UNKNOWN`.

    Raises:
        ConfigurationError: the code is no whole number.

    >>> explain_hangup(1103).meaning
    'user left the queue'
    """
    number = as_whole(code)
    if number is None:
        raise ConfigurationError(f"code is {code!r}: give a whole number, such as 1103")
    return HANGUPS.get(number) or Hangup(number, f"unknown code {number}", HangupCategory.UNKNOWN, HangupParty.UNKNOWN)


_AGENT, _USER, _LINE = HangupParty.AGENT, HangupParty.USER, HangupParty.OUTSIDE_LINE
_NETWORK, _SYSTEM, _UNKNOWN = HangupParty.NETWORK, HangupParty.SYSTEM, HangupParty.UNKNOWN

_TABLE: dict[HangupCategory, dict[int, tuple[str, HangupParty]]] = {
    HangupCategory.ENDED: {
        1000: ("ended normally", _UNKNOWN),
        1001: ("agent hung up", _AGENT),
        1002: ("user hung up", _USER),
        1004: ("network fault", _NETWORK),
        2000: ("ended normally", _UNKNOWN),
        2001: ("agent hung up", _AGENT),
        2002: ("user hung up", _USER),
        2003: ("agent cancelled", _AGENT),
        2004: ("network fault", _NETWORK),
        3000: ("ended normally", _UNKNOWN),
        3001: ("agent hung up", _AGENT),
        3002: ("user hung up", _USER),
        3003: ("network fault", _NETWORK),
    },
    HangupCategory.VOICEMAIL: {
        1003: ("went to voicemail", _SYSTEM),
        10031: ("went to voicemail, all agents busy", _SYSTEM),
        10032: ("went to voicemail, no agent online", _SYSTEM),
    },
    HangupCategory.NOT_ANSWERED: {
        1101: ("agent hung up at once", _AGENT),
        1102: ("user hung up at once", _USER),
        1103: ("user left the queue", _USER),
        11031: ("user left the queue, all agents busy", _USER),
        11032: ("user left the queue, no agent online", _USER),
        1104: ("queue timeout", _SYSTEM),
        11041: ("queue timeout, all agents busy", _SYSTEM),
        11042: ("queue timeout, no agent online", _SYSTEM),
        1105: ("no agent online", _SYSTEM),
        1106: ("all agents busy", _SYSTEM),
        1107: ("blocked number", _SYSTEM),
        1108: ("user cancelled", _USER),
        2101: ("agent hung up at once", _AGENT),
        2102: ("user hung up at once", _USER),
        2103: ("user rejected the call", _USER),
        2104: ("no answer in time", _SYSTEM),
        2105: ("blocked number", _SYSTEM),
        2106: ("restricted number", _SYSTEM),
        2107: ("restricted by the trial quota", _SYSTEM),
    },
    HangupCategory.FORWARDED: {
        1109: ("outside line hung up", _LINE),
        1110: ("forwarding failed", _SYSTEM),
        1111: ("user hung up", _USER),
    },
    HangupCategory.NOT_CONNECTED: {
        2201: ("number refused the call", _USER),
        2202: ("number unavailable for now", _NETWORK),
        2203: ("number busy", _USER),
        2204: ("call failed", _NETWORK),
        2205: ("number unreachable", _NETWORK),
        2206: ("agent cancelled", _AGENT),
    },
    HangupCategory.TRANSFER_FAILED: {
        3101: ("agent hung up at once", _AGENT),
        3102: ("user hung up at once", _USER),
        3103: ("user left the queue", _USER),
        3104: ("queue timeout", _SYSTEM),
        31041: ("queue timeout, all agents busy", _SYSTEM),
        31042: ("queue timeout, no agent online", _SYSTEM),
        3105: ("no agent online", _SYSTEM),
        3106: ("all agents busy", _SYSTEM),
        3107: ("user cancelled", _USER),
    },
}

HANGUPS: dict[int, Hangup] = {
    code: Hangup(code, meaning, category, party)
    for category, codes in _TABLE.items()
    for code, (meaning, party) in codes.items()
}
"""Every published hangup code."""
