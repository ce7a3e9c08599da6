"""What the vendor's replies look like as bytes."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Literal

import msgspec
from attrs import define, field

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Write JSON as the vendor does: compact, not escaped, money as numbers."""

Style = Literal["call center", "did", "flash", "flash call"]

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
    """The emulator refuses a request with a result code; `explanation` goes under `msg` or `message`."""

    def __init__(self, code: int, explanation: str | None = None) -> None:
        self.code = code
        self.explanation = _EXPLANATIONS.get(code, "请求失败") if explanation is None else explanation
        super().__init__(f"{code} {self.explanation}")


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


def answer(style: Style, data: Any) -> EmulatedReply:
    """Return a success; `data` is what goes under `data`, `cdrs` for the flash list, `cdr` for one flash call."""
    if style == "flash":
        return EmulatedReply(encode({"cdrs": data, "code": "0"}), 0)
    if style == "flash call":
        return EmulatedReply(encode({"cdr": data, "code": "0"}), 0)
    if style == "did":
        return EmulatedReply(
            encode({"code": 0, "data": data, "message": _EXPLANATIONS[0], "requestId": token_hex(16)}), 0
        )
    return EmulatedReply(encode({"reqId": token_hex(16), "code": 0, "msg": "success", "data": data}), 0)


def refusal(style: Style, refused: RefusedError) -> EmulatedReply:
    """Return a failure the way each API words it: HTTP 200 with a code."""
    code, explanation = refused.code, refused.explanation
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
