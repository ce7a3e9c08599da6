"""The charset of a body, by its header or its first bytes: all bodies become UTF-8. Pure."""

import codecs
import re
from functools import lru_cache

_DECLARED = re.compile(r"""charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)

_UTF_8 = "utf-8"
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs"}
"""Charsets that contain another one: servers that declare the smaller one often send characters of the larger."""

_MANY_BYTES = frozenset(
    {"gb18030", "big5hkscs", "cp950", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949", "johab"}
    | {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
)
_ONE_BYTE = re.compile(r"ascii|iso8859-\d+|cp\d{3,4}|koi8-[rtu]|mac-\w+|tis-620|ptcp154|kz1048")
"""Python's names of the charsets of one byte a character."""

_SIGNATURES = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0\0\0", "utf-32-le"),
    (b"\0\0\0{", "utf-32-be"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)
"""How a body that is an object begins in Unicode's encodings, the longer beginnings first."""


def in_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return a body of JSON in UTF-8, without a byte order mark.

    Its first bytes count most, then its header. A wrong header, as servers may add, is ignored where the body can only
    be UTF-8: three bytes that are one character of it are no accident, while two may be one of a Chinese charset as
    well. Bytes that are no text in a charset become bytes that are no UTF-8, so that only their row is bad.

    Args:
        body: as it came.
        content_type: the header, None without one.
    """
    begins = body[:4]
    if begins[:1] != b"{" or b"\0" in begins:
        for signature, name in _SIGNATURES:
            if begins.startswith(signature):
                return body[len(codecs.BOM_UTF8) :] if name == "utf-8-sig" else _recoded(body, name)
    declared = declared_charset(content_type) if content_type else _UTF_8
    if declared == _UTF_8 or body.isascii() or _is_plainly_utf8(body, declared):
        return body
    return _recoded(body, declared)


@lru_cache(maxsize=32)
def declared_charset(content_type: str) -> str:
    """Return Python's name of the charset that a header declares; UTF-8 for none, and for an unknown one."""
    found = _DECLARED.search(content_type)
    try:
        name = codecs.lookup(found[1]).name if found else _UTF_8
    except LookupError:
        return _UTF_8
    name = _WIDER.get(name, name)
    return name if name in _MANY_BYTES or _ONE_BYTE.fullmatch(name) else _UTF_8


def _is_plainly_utf8(body: bytes, declared: str) -> bool:
    """Return whether a body is UTF-8, whatever is declared."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    if declared not in _MANY_BYTES or max(text) > "\u07ff":
        return True
    try:
        body.decode(declared)
    except UnicodeDecodeError:
        return True
    return False


def _recoded(body: bytes, name: str) -> bytes:
    if name.startswith("utf-"):
        # Half a pair of surrogates becomes what an escaped one does.
        return body.decode(name, "replace").encode()
    # Bytes that are no text become half pairs, which UTF-8 may not have.
    return body.decode(name, "surrogateescape").encode("utf-8", "surrogatepass")
