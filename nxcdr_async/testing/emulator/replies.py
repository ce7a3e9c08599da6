"""What the vendor's replies look like as bytes."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Literal

import msgspec
from attrs import define, field

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Write JSON as the vendor does: compact, not escaped, money as numbers."""

Style = Literal["call center", "did", "flash", "flash call"]
Language = Literal["zh", "en"]

_ENGLISH = {
    0: "success",
    88: "Request failed",
    99: "System error",
    1001: "Missing common parameters",
    1002: "Parameter error",
    1003: "Invalid signature",
    1004: "Authentication failed (timestamp expired)",
    1005: "no permission",
}
_EXPLANATIONS = {
    0: "请求成功",
    88: "请求失败",
    99: "系统异常",
    1001: "公共参数缺失",
    1002: "参数错误",
    1003: "签名错误",
    1004: "请求时间戳超出允许范围",
    1005: "accessKey不存在或无权限",
}


class RefusedError(Exception):
    """The emulator refuses a request with a result code, and words of its own if `explanation` is given."""

    def __init__(self, code: int, explanation: str | None = None) -> None:
        self.code = code
        self.explanation = explanation
        super().__init__(f"{code} {explanation or _ENGLISH.get(code, '')}")


@define
class EmulatedReply:
    """A whole reply before it is sent.

    Attributes:
        code: the result code in the body, None if it has none.
        headers: besides the content type.
    """

    body: bytes = b""
    code: int | None = None
    status: int = 200
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(factory=dict)


def explanation_of(code: int, language: Language) -> str:
    """Return the usual explanation of a result code."""
    if language == "en":
        return _ENGLISH.get(code, _ENGLISH[88])
    return _EXPLANATIONS.get(code, _EXPLANATIONS[88])


def answer(style: Style, data: Any, language: Language = "zh") -> EmulatedReply:
    """Return a success; `data` is what goes under `data`, `cdrs` for the flash list, `cdr` for one flash call."""
    if style == "flash":
        return EmulatedReply(encode({"cdrs": data, "code": "0"}), 0)
    if style == "flash call":
        return EmulatedReply(encode({"cdr": data, "code": "0"}), 0)
    if style == "did":
        return EmulatedReply(
            encode({"code": 0, "data": data, "message": explanation_of(0, language), "requestId": token_hex(16)}), 0
        )
    return EmulatedReply(encode({"reqId": token_hex(16), "code": 0, "msg": "success", "data": data}), 0)


def refusal(style: Style, refused: RefusedError, language: Language = "zh") -> EmulatedReply:
    """Return a failure the way each API words it: HTTP 200 with a code."""
    code, explanation = refused.code, refused.explanation or explanation_of(refused.code, language)
    payload: Mapping[str, Any]
    if style in {"flash", "flash call"}:
        payload = {"code": str(code)}
    elif style == "did":
        payload = {"code": code, "data": None, "message": explanation, "requestId": token_hex(16)}
    else:
        payload = {"reqId": token_hex(16).upper(), "code": code, "msg": explanation, "data": {}}
    return EmulatedReply(encode(payload), code)


def web_page(status: int, title: str, headers: dict[str, str] | None = None) -> EmulatedReply:
    """Return an HTML page such as a proxy in front of the gateway would send."""
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n"
    page = f"{head}<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>"
    return EmulatedReply(page.encode(), None, status, "text/html", headers or {})
