"""Who may ask: the checks each signed request goes through, in the vendor's order."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import Literal

from attrs import define, evolve, field

from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.signing import sign
from nxcdr_async.testing.replies import RefusedError

ALLOWED_SKEW_MS = 60_000
"""How far `ts` may be from the gateway's clock."""

_ALGORITHMS: dict[str, Literal["md5", "sha256"]] = {"md5": "md5", "sha256": "sha256"}
_COMMON_HEADERS = ("accessKey", "ts", "bizType", "action", "sign")
_WRONG_FLASH_KEY = 1


@define
class RequestVerifier:
    """Knows the keys and checks requests against them.

    Attributes:
        credentials: the pair with all rights.
        without_rights: a valid pair that may read nothing.
        flash_app: the application that may read flash calls.
    """

    credentials: Credentials
    without_rights: Credentials
    flash_app: FlashApp
    _pairs: dict[str, Credentials] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._pairs = {pair.access_key: pair for pair in (self.credentials, self.without_rights)}

    def check_signed(self, headers: Mapping[str, str], body: bytes, *, biz_type: str, action: str, now_ms: int) -> None:
        """Check one signed request.

        Args:
            headers: as received, looked up without regard to case.
            body: the raw bytes.
            biz_type: what `bizType` has to be.
            action: what `action` has to be.
            now_ms: the gateway's clock, epoch milliseconds.

        Raises:
            RefusedError: with the vendor's code.
        """
        if not all(headers.get(name) for name in _COMMON_HEADERS):
            raise RefusedError(1001)
        ts, algorithm = headers["ts"], _ALGORITHMS.get(headers.get("algorithm", "md5"))
        if headers["bizType"] != biz_type or headers["action"] != action or algorithm is None:
            raise RefusedError(1002)
        if not (ts.isascii() and ts.isdigit()):
            raise RefusedError(1002)
        pair = self._pairs.get(headers["accessKey"])
        if pair is None:
            raise RefusedError(1005)
        if abs(now_ms - int(ts)) > ALLOWED_SKEW_MS:
            raise RefusedError(1004)
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(1003)
        expected = sign(evolve(pair, algorithm=algorithm), action=action, biz_type=biz_type, ts=ts, body=body)
        if not compare_digest(expected.encode(), headers["sign"].encode(errors="surrogateescape")):
            raise RefusedError(1003)
        if pair is self.without_rights:
            raise RefusedError(1005)

    def check_flash(self, query: Mapping[str, str]) -> None:
        """Check the key pair in the query of the flash list; its secret goes by either of two names.

        Raises:
            RefusedError: code 1.
        """
        secret = query.get("secretkey", query.get("appsecret", ""))
        known_key = compare_digest(query.get("appkey", "").encode(), self.flash_app.appkey.encode())
        known_secret = compare_digest(secret.encode(), self.flash_app.secretkey.encode())
        if not (known_key and known_secret):
            raise RefusedError(_WRONG_FLASH_KEY)
