"""How a push is answered: taken, known already, or refused with a status and words for a person. Pure."""

from collections.abc import Mapping

import msgspec
from attrs import define, field


@define(frozen=True)
class Answer:
    """The answer to one push.

    Attributes:
        status: of HTTP; 200 acknowledges, all else is a failure to the vendor.
        said: what the body says, as a JSON object.
        headers: besides those of every answer.
        is_cut: whether the connection ends with the answer. Not after each body that was not read: whoever still sends
            would lose the answer with it, and servers read on and throw away.
    """

    status: int
    said: Mapping[str, str]
    headers: Mapping[str, str] = field(factory=dict)
    is_cut: bool = False

    @property
    def body(self) -> bytes:
        """The bytes of the body."""
        return msgspec.json.encode(self.said)

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header, its name in lower case."""
        return {"content-type": "application/json", "content-length": str(len(self.body)), **self.headers}


TAKEN = Answer(200, {"result": "taken"})
KNOWN = Answer(200, {"result": "known already"})


class PushRefusedError(Exception):
    """A push is refused.

    Attributes:
        answer: what goes back to whoever sent it.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_cut: bool = False,
        **said: str,
    ) -> None:
        self.answer = Answer(status, {"error": reason, **said}, headers or {}, is_cut)
        super().__init__(reason)


def unauthorized(reason: str) -> PushRefusedError:
    """Return the refusal of a push that does not show that it is the vendor's."""
    # HTTP wants the header with each 401; there is no registered scheme for either mode.
    return PushRefusedError(401, reason, headers={"www-authenticate": 'NXCloud realm="call push"'})
