"""A push as HTTP: its head, and how it is answered. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from attrs import define, field


@define(frozen=True)
class Headers:
    """The headers of a request, found whatever the case of their names."""

    _values: Mapping[bytes, list[bytes]] = field(repr=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, bytes]]) -> "Headers":
        """Return the headers that came as pairs of a name and a value."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            values.setdefault(name.lower(), []).append(value)
        return cls(values)

    def all(self, name: str) -> list[bytes]:
        """Return every value of a name."""
        return self._values.get(name.lower().encode(), [])

    def text(self, name: str) -> str | None:
        """Return the value of a name as text, byte by byte; None without one."""
        values = self.all(name)
        return values[0].decode("latin-1") if values else None


@define(frozen=True)
class Head:
    """A request without its body.

    Attributes:
        path: below whatever the app is mounted on, see `path_below`; None where a router has matched it.
    """

    method: str
    path: str | None
    headers: Headers


def path_below(path: str, mounted_on: str, outside: str = "") -> str:
    """Return a path below the prefix an app is mounted on, whether or not the framework has taken it off already.

    A slash at the end does not count.

    Args:
        path: as the server or the framework gives it.
        mounted_on: the prefix.
        outside: the beginning of the prefix that a proxy may have removed from the path.
    """
    for prefix in (mounted_on.rstrip("/"), mounted_on.removeprefix(outside).rstrip("/")):
        if f"{path}/".startswith(f"{prefix}/"):
            # Litestar puts a slash behind each path.
            return path[len(prefix) :].rstrip("/") or "/"
    return path.rstrip("/") or "/"


@define(frozen=True)
class Answer:
    """The answer to one push.

    Attributes:
        status: of HTTP; 200 acknowledges, all else is a failure to the vendor.
        content: of the body, a JSON object.
        headers: besides those of every answer.
        is_cut: whether the connection is closed with the answer. Not after each body that was not read: a sender that
            is still sending would lose the answer with it, and servers read on and throw away.
    """

    status: int
    content: Mapping[str, str]
    headers: Mapping[str, str] = field(factory=dict)
    is_cut: bool = False

    @property
    def body(self) -> bytes:
        """The bytes of the body."""
        return msgspec.json.encode(self.content)

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header, its name in lower case."""
        return {"content-type": "application/json", "content-length": str(len(self.body)), **self.headers}


ACCEPTED = Answer(200, {"result": "taken"})
ALREADY_SEEN = Answer(200, {"result": "known already"})


class PushRefusedError(Exception):
    """A push is refused with an answer to its sender."""

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_cut: bool = False,
        **details: str,
    ) -> None:
        self.answer = Answer(status, {"error": reason, **details}, headers or {}, is_cut)
        super().__init__(reason)


def unauthorized(reason: str) -> PushRefusedError:
    """Return the refusal of a push that does not show that it is the vendor's."""
    # HTTP wants the header with each 401; there is no registered scheme for either mode.
    return PushRefusedError(401, reason, headers={"www-authenticate": 'NXCloud realm="call push"'})
