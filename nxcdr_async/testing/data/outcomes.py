"""How calls end: each of the vendor's hangup codes with its weight and the vendor's words for it."""

from attrs import define

from nxcdr_async.records.hangup import HANGUPS, HangupCategory, HangupParty

_ENDED, _INBOUND_MISSED, _OUTBOUND_MISSED = "正常结束", "呼入未接", "呼出未接"
_VOICEMAIL, _FORWARDED, _NOT_CONNECTED, _TRANSFER_FAILED = "语音留言", "转接外线", "呼叫未接通", "转人工失败"

# code: (weight among calls of its kind, callStatus, hangupReason)
_WORDS: dict[int, tuple[int, str, str]] = {
    1000: (12, _ENDED, "正常挂断"),
    1001: (38, _ENDED, "坐席挂断"),
    1002: (48, _ENDED, "用户挂断"),
    1003: (2, _VOICEMAIL, "语音留言"),
    1004: (1, _ENDED, "网络异常"),
    1101: (2, _INBOUND_MISSED, "坐席秒挂"),
    1102: (4, _INBOUND_MISSED, "用户秒挂"),
    1103: (40, _INBOUND_MISSED, "用户排队放弃"),
    1104: (14, _INBOUND_MISSED, "排队超时"),
    1105: (8, _INBOUND_MISSED, "无坐席在线"),
    1106: (9, _INBOUND_MISSED, "坐席全忙"),
    1107: (1, _INBOUND_MISSED, "黑名单号码"),
    1108: (9, _INBOUND_MISSED, "用户取消"),
    1109: (2, _FORWARDED, "外线挂断"),
    1110: (1, _FORWARDED, "转接外线失败"),
    1111: (2, _FORWARDED, "用户挂断"),
    2000: (10, _ENDED, "正常挂断"),
    2001: (34, _ENDED, "坐席挂断"),
    2002: (52, _ENDED, "用户挂断"),
    2003: (2, _ENDED, "坐席取消"),
    2004: (1, _ENDED, "网络异常"),
    2101: (3, _OUTBOUND_MISSED, "坐席秒挂"),
    2102: (5, _OUTBOUND_MISSED, "用户秒挂"),
    2103: (20, _OUTBOUND_MISSED, "用户拒接"),
    2104: (34, _OUTBOUND_MISSED, "无人接听"),
    2105: (1, _OUTBOUND_MISSED, "黑名单号码"),
    2106: (1, _OUTBOUND_MISSED, "号码受限"),
    2107: (1, _OUTBOUND_MISSED, "试用额度限制"),
    2201: (5, _NOT_CONNECTED, "被叫拒绝"),
    2202: (6, _NOT_CONNECTED, "暂时无法接通"),
    2203: (11, _NOT_CONNECTED, "被叫忙"),
    2204: (4, _NOT_CONNECTED, "呼叫失败"),
    2205: (5, _NOT_CONNECTED, "号码不可达"),
    2206: (4, _NOT_CONNECTED, "坐席取消"),
    3000: (30, _ENDED, "正常挂断"),
    3001: (24, _ENDED, "坐席挂断"),
    3002: (44, _ENDED, "用户挂断"),
    3003: (1, _ENDED, "网络异常"),
    3101: (3, _TRANSFER_FAILED, "坐席秒挂"),
    3102: (9, _TRANSFER_FAILED, "用户秒挂"),
    3103: (30, _TRANSFER_FAILED, "用户排队放弃"),
    3104: (16, _TRANSFER_FAILED, "排队超时"),
    3105: (8, _TRANSFER_FAILED, "无坐席在线"),
    3106: (12, _TRANSFER_FAILED, "坐席全忙"),
    3107: (10, _TRANSFER_FAILED, "用户取消"),
    10031: (2, _VOICEMAIL, "语音留言(坐席全忙)"),
    10032: (2, _VOICEMAIL, "语音留言(无坐席在线)"),
    11031: (6, _INBOUND_MISSED, "用户排队放弃(坐席全忙)"),
    11032: (3, _INBOUND_MISSED, "用户排队放弃(无坐席在线)"),
    11041: (3, _INBOUND_MISSED, "排队超时(坐席全忙)"),
    11042: (2, _INBOUND_MISSED, "排队超时(无坐席在线)"),
    31041: (3, _TRANSFER_FAILED, "排队超时(坐席全忙)"),
    31042: (2, _TRANSFER_FAILED, "排队超时(无坐席在线)"),
}

_AGENTLESS = {1003, 1107, 10031, 10032, 3000}
_BY_PARTY = {HangupParty.AGENT: 1, HangupParty.USER: 0}


@define(frozen=True)
class Outcome:
    """One way a call can end.

    Attributes:
        code: the vendor's hangup code.
        status: `callStatus` in the vendor's words.
        reason: `hangupReason` in the vendor's words.
        answered: whether somebody talked.
        has_agent: whether an agent belongs to the row.
        hangup_by: what the vendor's sample rows say, which is the opposite of its own table: 1 agent, 0 user.
        leaves_message: whether the caller spoke to the voicemail.
    """

    code: int
    status: str
    reason: str
    answered: bool
    has_agent: bool
    hangup_by: int
    leaves_message: bool


def _outcome(code: int) -> Outcome:
    _, status, reason = _WORDS[code]
    hangup = HANGUPS[code]
    answered = hangup.category is HangupCategory.ENDED
    rang_an_agent = hangup.party is HangupParty.AGENT or str(code)[0] == "2"
    return Outcome(
        code=code,
        status=status,
        reason=reason,
        answered=answered,
        has_agent=code not in _AGENTLESS and (answered or rang_an_agent),
        hangup_by=_BY_PARTY.get(hangup.party, 2),
        leaves_message=hangup.category is HangupCategory.VOICEMAIL,
    )


def _pool(kind: int, *, answered: bool) -> tuple[Outcome, ...]:
    """Return 1,024 outcomes of calls of one kind (1 inbound, 2 outbound, 3 AICC), each as often as it weighs."""
    outcomes = [outcome for outcome in map(_outcome, _WORDS) if str(outcome.code)[0] == str(kind)]
    chosen = [outcome for outcome in outcomes if outcome.answered is answered]
    total = sum(_WORDS[outcome.code][0] for outcome in chosen)
    pool = [outcome for outcome in chosen for _ in range(max(1, 1024 * _WORDS[outcome.code][0] // total))]
    commonest = max(chosen, key=lambda outcome: _WORDS[outcome.code][0])
    return tuple(pool + [commonest] * (1024 - len(pool)))


MISSED_AND_ANSWERED = tuple((_pool(kind, answered=False), _pool(kind, answered=True)) for kind in (1, 2, 3))
"""By the direction of a reply (0 inbound, 1 outbound, 2 AICC): outcomes of missed calls, outcomes of answered calls."""
