"""What may be shown of text that others wrote: one line, not endless, without control characters and secrets. Pure."""

import html
import re
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import Any

from attrs import define, field

LONGEST_LINE = 300
"""Characters of a text of others that go into an error."""

REDACTED = "…"
"""What stands where a secret was."""


@define(frozen=True)
class Redactor:
    """Knows secrets, and takes them out of what is shown, also where they are written as in a URL, JSON or HTML."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    def line(self, text: str) -> str:
        """Return a text fit for an error: one line, no control characters, no secret, not endless."""
        shown = self.text(text).strip()
        printable = "".join(char if char.isprintable() else " " for char in shown[:LONGEST_LINE]).strip()
        return printable if len(shown) <= LONGEST_LINE else f"{printable}…"

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)

    def value(self, value: Any) -> Any:
        """Return what JSON was decoded to without secrets: the value itself if it has none, else a copy."""
        whole = [value]
        is_changed = False
        todo: list[dict[Any, Any] | list[Any]] = [whole]
        while todo:  # no recursion, as whoever sends a secret back may nest it as deep as JSON goes
            holder = todo.pop()
            for key, item in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                shown = self._shallow(item)
                is_changed = is_changed or _is_redacted(shown, item)
                holder[key] = shown
                if isinstance(shown, dict | list):
                    todo.append(shown)
        return whole[0] if is_changed else value

    def _shallow(self, item: Any) -> Any:
        """Return a text or number without secrets, and of a list or object a copy, without secrets in its keys."""
        if isinstance(item, dict):
            return {self.text(key) if isinstance(key, str) else key: value for key, value in item.items()}
        if isinstance(item, list):
            return list(item)
        if isinstance(item, str):
            return self.text(item)
        if isinstance(item, int | Decimal) and (shown := self.text(str(item))) != str(item):
            return shown
        return item

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        known = sorted(filter(None, self.secrets), key=len, reverse=True)
        # Whatever escapes a text may also change the case of its escapes.
        spelled = "|".join(map(_spellings, known))
        return re.compile(spelled, re.IGNORECASE) if known else None


NO_SECRETS = Redactor()


def _is_redacted(shown: Any, item: Any) -> bool:
    if isinstance(shown, dict):
        return bool(shown.keys() != item.keys())
    return isinstance(shown, str) and bool(shown != item)


def _spellings(secret: str) -> str:
    """Return a pattern of the ways a secret is written: only what is no letter or digit is escaped."""
    return "".join(
        run if char.isalnum() else _escapes(char, len(run))
        for char, run in ((char, "".join(same)) for char, same in groupby(secret))
    )


def _escapes(char: str, times: int) -> str:
    """Return a pattern of a character, so many times over: in a URL, in JSON, in HTML, or behind backslashes."""
    code = f"{ord(char):02x}"
    # Everything has a bound, and backslashes are not given back, so that no text can keep the search busy.
    coded = rf"%(?:25){{0,4}}{code}|\\{{1,8}}+u00{code}|&#0{{0,4}}{ord(char)};|&#x0{{0,4}}{code};{_named(char)}"
    if char == "\\":
        return rf"(?:(?:{coded}){{{times}}}|\\{{{times},{8 * times}}}+)"
    return rf"(?:{coded}|\\{{0,8}}+{re.escape(char)}){{{times}}}"


def _named(char: str) -> str:
    name = html.escape(char)
    return "" if name == char else f"|{re.escape(name)}"
