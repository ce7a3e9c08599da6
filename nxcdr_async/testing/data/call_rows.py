"""The rows of cdr/page, each computed from its rank, with the oddities of the vendor's real rows."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from decimal import Decimal
from math import exp
from statistics import NormalDist
from struct import Struct
from typing import Any
from urllib.parse import quote

from nxcdr_async.testing.data.arrivals import Arrivals
from nxcdr_async.testing.data.outcomes import MISSED_AND_ANSWERED, Outcome

Row = dict[str, Any]

LONGEST_CALL_MS = 6 * 3_600_000
"""No call of the history lasts longer than this, queue and ringing included."""


def _lognormal(size: int, median_ms: float, spread: float, ceiling_ms: int) -> tuple[int, ...]:
    """Return quantiles of a lognormal distribution: to draw one evenly is to draw from it, at no cost."""
    normal = NormalDist()
    return tuple(
        1000 + min(ceiling_ms, int(median_ms * exp(spread * normal.inv_cdf((rank + 0.5) / size))))
        for rank in range(size)
    )


_TALKS = (*_lognormal(8190, 95_000, 1.05, 3_000_000), LONGEST_CALL_MS // 3, LONGEST_CALL_MS - 600_000)
_WAITS = _lognormal(1024, 11_000, 0.95, 280_000)
_RINGS = tuple(ring - ring % 1000 for ring in _lognormal(1024, 9_000, 0.6, 55_000))

_PRICES_BY_MINUTE = tuple(Decimal("0.035") * max(1, minutes) for minutes in range(LONGEST_CALL_MS // 60_000))
_PRICES_EIGHT_DIGITS = tuple(Decimal("0.02028000") * max(1, minutes) for minutes in range(LONGEST_CALL_MS // 60_000))
_NOTHING = Decimal("0E-8")
_SCORES = tuple(Decimal(300 + hundredths) / 100 for hundredths in range(150))

_NICKNAMES = ("示例坐席", "王小明", "李娜", "Budi Santoso", "María Peña", "陈晓 ☎", "Ana Souza", "Nguyễn Văn An")
_CUSTOMERS = ("852", "8613", "6281", "5511", "5731", "447", "1415", "668")
_DTMF = ("1", "2", "1,2", "3,1", "0", "9,#", "1,1,4", "*")
_INTENTS = ("有意向", "无意向", "稍后联系", "refuse", "interested")
_CAUSES = ((200, "NORMAL_CLEARING"), (486, "USER_BUSY"), (487, "ORIGINATOR_CANCEL"), (480, "NO_ANSWER"))
_RANK = re.compile(
    r"63616c6c([0-9a-f]{8})$"  # 25 hexadecimal digits
    r"|-[0-9a-f]{4}([0-9a-f]{8})$"  # a UUID
    r"|^[1-9][0-9]{9}([0-9]{10})@"  # twenty digits at an address
    r"|^0gQAAC8W[0-9a-f]{9}([0-9a-f]{8})SgEC/"
)
_BASES = (16, 16, 10, 16)
_BASE64_PARTS = Struct(">I24H7x")  # 59 bytes, so that the text ends in =
_BASE64_ID = re.compile(r"^[A-Za-z0-9+/]{79}=$")
_ORDERS = re.compile(r"^NXO(\d{10})$")

_CALL_IN_HEX = 0x63616C6C << 32  # "call", as in the vendor's own ids
_FIRST_TASK = 1_680_000_000_000_000_000

_OUTBOUND, _AICC = 1, 2

# Shares, as limits of an even 16-bit random number.
_INBOUND_UP_TO, _OUTBOUND_UP_TO = 36_000, 57_600
_WITH_ORDER_UP_TO = 22_000
_WITH_KEYS_UP_TO = 8_000
_MEDIA_IP_UP_TO = 4_096
_ODD_ROWS_UP_TO = 2_600
_HEX_IDS_UP_TO = 32_768
_UUIDS_UP_TO = 49_152
_DIGIT_IDS_UP_TO = 57_344
_BASE64_IDS_UP_TO = 65_136

_BLANK: Row = {
    "agentName": None,
    "agentNickName": None,
    "answered": False,
    "answerTime": 0,
    "callDuration": 0,
    "callee": "",
    "caller": "",
    "callId": "",
    "direction": 0,
    "dtmfKeys": None,
    "endTime": 0,
    "hangupBy": 2,
    "hangupCode": 1000,
    "callStatus": "",
    "hangupReason": "",
    "inQueueTime": None,
    "leaveMsgUrl": None,
    "orderId": "",
    "other": None,
    "intent": None,
    "outQueueTime": None,
    "queueDuration": None,
    "recordUrl": None,
    "ringDuration": 0,
    "ringTime": 0,
    "startTime": 0,
    "taskId": "",
    "totalCustomerPrice": 0,
    "lineIp": "",
    "mediaIp": "",
    "termSipCode": 200,
    "hangupCause": "",
    "mos": 0,
}


class CallRows:
    """Computes calls of the call center.

    Args:
        arrivals: when they start.
        agents: how many agents answer them.
        legs: returns how many calls, one after the other, share an id.
        media: returns the base of the addresses of recordings; None for addresses that lead nowhere.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        *,
        agents: int,
        legs: Callable[[], int] = lambda: 1,
        media: Callable[[], str] | None = None,
    ) -> None:
        self.arrivals = arrivals
        self._media = media
        self._legs = legs
        self.agents = tuple(_agent(number) for number in range(agents))
        self._lines = tuple(f"8523575{7500 + 17 * line}" for line in range(24))

    def call_id(self, rank: int) -> str:
        """Return the id of a call without computing its row."""
        first = rank - rank % self._legs()
        return _call_id(first, self.arrivals.at(first)[2])

    def ranks_of_call(self, call_id: str) -> range:
        """Return the ranks that may have an id; empty if it is none of this history."""
        rank = min(_rank_in(call_id, self.arrivals.total), self.arrivals.total)
        return range(rank, min(rank + self._legs(), self.arrivals.total))

    def ranks_of_order(self, order_id: str) -> range:
        """Return the ranks that may have an order; empty if it is none of this history."""
        found = _ORDERS.match(order_id)
        first = 2 * int(found[1]) if found else self.arrivals.total
        return range(first, min(first + 2, self.arrivals.total))

    def row(self, rank: int) -> Row:
        """Return one call as the vendor would send it; money is `Decimal`, to be written as a JSON number."""
        minute, start, chance = self.arrivals.at(rank)
        direction = 0 if chance[1] < _INBOUND_UP_TO else 1 if chance[1] < _OUTBOUND_UP_TO else _AICC
        # A busy center misses more calls: 6 % in the quiet hours, 31 % at the peak.
        answered = chance[2] % 100 < 94 - self.arrivals.load(minute) // 4
        outcome = MISSED_AND_ANSWERED[direction][answered][chance[3] >> 6]
        row = _BLANK.copy()
        row["callId"] = call_id = _call_id(rank, chance) if self._legs() == 1 else self.call_id(rank)
        row["direction"] = direction
        row["hangupBy"], row["hangupCode"] = outcome.hangup_by, outcome.code
        row["callStatus"], row["hangupReason"] = outcome.status, outcome.reason
        talk = _set_times(row, start, outcome, chance)
        row["totalCustomerPrice"] = _price(talk, chance[18])
        self._set_people(row, direction, outcome, chance)
        if chance[11] < _WITH_ORDER_UP_TO:
            row["orderId"] = f"NXO{rank >> 1:010d}"
        if outcome.answered:
            row["recordUrl"] = self.address_of("record", call_id)
        elif outcome.leaves_message:
            row["leaveMsgUrl"] = self.address_of("message", call_id)
        _set_line(row, chance)
        if chance[12] < _ODD_ROWS_UP_TO:
            _ODDITIES[chance[13] % len(_ODDITIES)](row)
        return row

    def address_of(self, kind: str, call_id: str) -> str:
        """Return the address of a "record" or a "message"."""
        if self._media is None:
            return f"https://media.example.com/{kind}/{call_id}.mp3"
        return f"{self._media()}/{kind}/{quote(call_id, safe='')}.wav"

    def _set_people(self, row: Row, direction: int, outcome: Outcome, chance: tuple[int, ...]) -> None:
        customer = f"{_CUSTOMERS[chance[6] & 7]}{5_000_000 + chance[7] * 61 % 4_999_999}"
        line = self._lines[chance[8] % len(self._lines)]
        row["caller"], row["callee"] = (line, customer) if direction else (customer, line)
        if outcome.has_agent:
            row["agentName"], row["agentNickName"] = self.agents[chance[5] % len(self.agents)]
        if direction == _AICC:
            row["intent"] = _INTENTS[chance[19] % 5]
            row["taskId"] = str(_FIRST_TASK + row["startTime"] // 86_400_000)
        elif not direction and chance[19] < _WITH_KEYS_UP_TO:
            row["dtmfKeys"] = _DTMF[chance[19] & 7]


def _set_times(row: Row, start: int, outcome: Outcome, chance: tuple[int, ...]) -> int:
    """Set a call's times and durations; return how long people talked, in milliseconds."""
    row["startTime"] = start
    row["ringTime"] = ring = start - start % 1000
    if row["direction"] == _OUTBOUND:
        answer = ring + _RINGS[chance[10] >> 6]
    else:
        row["inQueueTime"] = entered = start + 20 + (chance[9] & 63)
        answer = entered + _WAITS[chance[10] >> 6]
        answer -= answer % 1000
        row["outQueueTime"] = answer
        # Rows of answered calls count the queue in seconds, rows of missed calls in milliseconds.
        row["queueDuration"] = -((entered - answer) // 1000) if outcome.answered else answer - entered
    row["ringDuration"] = (answer - ring) // 1000
    talk = 0
    if outcome.answered:
        talk = _TALKS[chance[4] >> 3]
        row["answered"], row["answerTime"], row["callDuration"] = True, answer, -(-talk // 1000)
    row["endTime"] = answer + talk + (chance[9] & 511)
    return talk


def _agent(number: int) -> tuple[str, str]:
    nickname = _NICKNAMES[number % len(_NICKNAMES)]
    suffix = f" {number // len(_NICKNAMES) + 1}" if number >= len(_NICKNAMES) else ""
    account = f"agent{number:02d}@example.com" if number % 6 == 5 else f"NX0944500069{number:02d}"  # noqa: PLR2004 - one in six
    return account, nickname + suffix


def _call_id(rank: int, chance: tuple[int, ...]) -> str:
    """Return an id in one of the shapes of real ones; each holds the rank, by which the call is found again."""
    prefix = (chance[14] << 20) | (chance[15] << 4) | (chance[16] & 15)
    shape = chance[16]
    if shape < _HEX_IDS_UP_TO:
        return f"{(prefix << 64) | _CALL_IN_HEX | rank:025x}"
    if shape < _UUIDS_UP_TO:
        variant = 0x8000 | chance[17] & 0x3FFF
        head = f"{prefix & 0xFFFFFFFF:08x}-{chance[23]:04x}-4{chance[22] & 0xFFF:03x}-{variant:04x}"
        return f"{head}-{chance[21]:04x}{rank:08x}"
    if shape < _DIGIT_IDS_UP_TO:
        return f"{1_000_000_000 + prefix % 9_000_000_000}{rank:010d}@202.157.139.109"
    if shape < _BASE64_IDS_UP_TO:
        return b64encode(_BASE64_PARTS.pack(rank, *chance)).decode()
    return f"0gQAAC8W{prefix:09x}{rank:08x}SgEC/Waas@103.251.203.149"


def _rank_in(call_id: str, unknown: int) -> int:
    """Return the rank that an id may hold."""
    if _BASE64_ID.match(call_id):
        return int(_BASE64_PARTS.unpack(b64decode(call_id))[0])
    found = _RANK.search(call_id)
    if found is None:
        return unknown
    (group,) = (number for number in range(1, 5) if found[number])
    return int(found[group], _BASES[group - 1])


def _price(talk: int, chance: int) -> Decimal | str:
    minutes = -(-talk // 60_000)
    if chance & 15:
        return _PRICES_BY_MINUTE[minutes]
    if not minutes and chance & 16:
        return _NOTHING
    price = _PRICES_EIGHT_DIGITS[minutes]
    return str(price) if chance & 32 else price


def _set_line(row: Row, chance: tuple[int, ...]) -> None:
    """Set what a call's line and audio were; the address of the media is mostly empty, as in the vendor's sample."""
    row["lineIp"] = f"43.134.{chance[21] & 255}.{chance[21] >> 8}"
    if chance[20] < _MEDIA_IP_UP_TO:
        row["mediaIp"] = f"103.251.{chance[22] & 255}.{chance[22] >> 8}"
    row["termSipCode"], row["hangupCause"] = _CAUSES[0] if row["answered"] else _CAUSES[1 + chance[21] % 3]
    row["mos"] = _SCORES[chance[22] % 150]


def _callee_is_an_address(row: Row) -> None:
    row["callee"] = "NX09445G000025@43.134.225.234:5060"


def _keys_are_missing(row: Row) -> None:
    for key in ("agentName", "agentNickName", "dtmfKeys", "intent", "leaveMsgUrl", "other", "taskId", "ringTime"):
        del row[key]


def _only_old_keys(row: Row) -> None:
    for key in ("callStatus", "hangupReason", "hangupCode", "recordUrl", "queueDuration", "outQueueTime", "orderId"):
        del row[key]


def _rang_before_it_started(row: Row) -> None:
    row["ringTime"] = row["startTime"] - 3_000


def _other_unit_of_the_queue(row: Row) -> None:
    if row["inQueueTime"] is None:
        return
    wait = row["outQueueTime"] - row["inQueueTime"]
    row["queueDuration"] = wait if row["answered"] else -(-wait // 1000)


def _hangup_by_as_documented(row: Row) -> None:
    row["hangupBy"] = {0: 1, 1: 0}.get(row["hangupBy"], 2)


def _durations_disagree(row: Row) -> None:
    row["callDuration"] += 2


def _nulls_for_nothing(row: Row) -> None:
    row["answerTime"] = row["answerTime"] or None
    row["orderId"] = row["orderId"] or None
    row["taskId"] = row["taskId"] or None


def _zeros_for_no_queue(row: Row) -> None:
    if row["inQueueTime"] is None:
        row["inQueueTime"] = row["outQueueTime"] = row["queueDuration"] = 0


def _passed_through(row: Row) -> None:
    row["other"] = '{"ticket":"票据-7","源":"web"}'


_ODDITIES: tuple[Callable[[Row], None], ...] = (
    _callee_is_an_address,
    _keys_are_missing,
    _only_old_keys,
    _rang_before_it_started,
    _other_unit_of_the_queue,
    _hangup_by_as_documented,
    _durations_disagree,
    _nulls_for_nothing,
    _zeros_for_no_queue,
    _passed_through,
)
