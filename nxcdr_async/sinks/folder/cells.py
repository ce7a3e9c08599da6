"""Text for cells of a table that spreadsheets, and readers who guess types, would run or take for no text. Pure.

Such text gets an apostrophe in front, as does text that has one there already: so it is read back as it was by taking
one away. Whole numbers of up to 15 digits stay bare, such as most phone numbers: whoever takes them for numbers
still has all their digits.
"""

import pyarrow as pa
import pyarrow.compute as pc

_APOSTROPHE = "'"

_BLANKS = "[\\p{Zs}\\t\\r\\n]*"

# After blanks, too; the last four are what East Asian spreadsheets take for the first four.
_FORMULA = "[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]"

# Leading zeros, points, dashes, slashes and colons, percents and amounts of money: digits, of any script, and what
# stands around them in numbers, dates and times of some country, but for what is bare.
_DIGIT = "\\p{Nd}"
_IN_VALUES = "\\p{Nd}\\p{Sc}\\p{Zs}.,:;/\\-+%_'()\u2019\uff05\uff0e\uff0c\uff1a\uff0f"
_VALUE = f"[{_IN_VALUES}年月日号號時时点點分秒]*{_DIGIT}[{_IN_VALUES}年月日号號時时点點分秒]*"
_HALF_OF_DAY = f"{_VALUE}(?:[ap]\\.?m\\.?|\\p{{Zs}}[ap]|上午|下午)|(?:上午|下午){_VALUE}"
_MOMENT = "[0-9/.\\-]+t[0-9:.,]+(?:z|[+\\-][0-9:]+)?"
_POWER = f"[{_IN_VALUES}]*{_DIGIT}[{_IN_VALUES}]*[ed]{_BLANKS}[+\\-]?[0-9]+"
_OTHER_BASE = "0[xbo][0-9a-f_]+"

# Of English and of the languages of the vendor's customers; a number beside them makes a date.
_MONTH = (
    "(?:jan|feb|fev|mar|apr|abr|avr|may|mai|mei|jun|jul|aug|ago|agu|sep|sept|set|oct|okt|out|nov|dec|dez|dic|des|ene"
    "|january|february|march|april|june|july|august|september|october|november|december"
    "|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    "|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro"
    "|januari|februari|maret|juni|juli|agustus|oktober|desember)"
)
_BESIDE = "[\\p{Zs}.,/\\-]*"
_DATE = f"{_MONTH}{_BESIDE}[0-9]+(?:{_BESIDE}[0-9:]+)*|[0-9]+{_BESIDE}{_MONTH}(?:{_BESIDE}[0-9:]+)*"

_WORD = (
    "true|false|t|f|yes|no|wahr|falsch|vrai|faux|verdadero|verdadeiro|falso|vero|benar|salah"
    "|na|n/a|<na>|nan|null|nil|none|inf|infinity|1\\.#(?:ind|qnan|inf)"
)
_FAULT = "#(?:n/?a(?: n/a)?|[a-z0-9/]+[!?]|getting_data)"  # as spreadsheets name what went wrong

_NO_TEXT = f"{_VALUE}|{_HALF_OF_DAY}|{_MOMENT}|{_POWER}|{_OTHER_BASE}|{_DATE}|{_WORD}|{_FAULT}"
_UNSAFE = f"^(?:'|{_BLANKS}{_FORMULA}|(?i:{_BLANKS}(?:{_NO_TEXT}){_BLANKS}$))"

_WHOLE_NUMBER = "^(?:0|[1-9][0-9]{0,14})$"
_ADDRESS = "^[0-9]{1,3}(?:\\.[0-9]{1,3}){3}$"  # of a computer; no value anywhere, but where it looks like thousands
_THOUSANDS = "^[0-9]{1,3}(?:\\.[0-9]{3})+$"


def safe_cells(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as spreadsheets show and readers take them unchanged, and none runs them."""
    is_bare = pc.or_(_match(texts, _WHOLE_NUMBER), pc.and_not(_match(texts, _ADDRESS), _match(texts, _THOUSANDS)))
    marked = pc.binary_join_element_wise(_APOSTROPHE, texts, "")
    return pc.if_else(pc.and_not(_match(texts, _UNSAFE), is_bare), marked, texts)


def _match(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(texts, pattern)


def texts_of(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the texts that safe cells were made of."""
    return pc.if_else(pc.starts_with(cells, _APOSTROPHE), pc.utf8_slice_codeunits(cells, 1), cells)
