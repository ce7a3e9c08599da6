"""Authentication: the checks of each request, in the vendor's order."""

from collections.abc import Mapping
from hmac import compare_digest

from attrs import define, field

from nxcdr_async.config import Credentials, FlashApp
from nxcdr_async.protocol.auth import HeaderSignature
from nxcdr_async.protocol.signed_headers import SignedHeaders
from nxcdr_async.testing.emulator.replies import RefusedError

_WRONG_FLASH_KEY = 1


@define
class RequestVerifier:
    """Checks that requests have the right keys and signatures."""

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
        signed = SignedHeaders.found_by(headers.get)
        fault = signed.fault(HeaderSignature(biz_type, action), self._pairs, now_ms=now_ms)
        if fault is not None:
            raise RefusedError(fault.code)
        pair = self._pairs[signed.access_key]
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(1003)
        if not signed.is_signed_by(pair, body):
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
