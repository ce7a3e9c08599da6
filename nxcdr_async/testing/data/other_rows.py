"""The rows of did/cdr and of the flash list, with the vendor's naive local times (UTC+8, whole seconds)."""

from decimal import Decimal
from functools import cached_property

from nxcdr_async.testing.data.arrivals import Arrivals
from nxcdr_async.testing.data.call_rows import Row
from nxcdr_async.testing.data.times import local_text

_FIRST_DID_ID, _FIRST_FLASH_ID = 700_001, 4
_UNIT = Decimal("0.055")
_COUNTRIES = ("Thailand", "Indonesia", "Brazil", "中国香港", "México")
_DID_ENDINGS = ((0, "-7", "Caller Hang-up"), (1, "-8", "Callee Hang-up"), (2, "486", "Busy"), (0, "0", "主叫挂断"))
_HALF = 32_768


class DidRows:
    """Computes calls over rented numbers."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals

    def did_id(self, rank: int) -> int:
        """Return the id of a call."""
        return _FIRST_DID_ID + rank

    def row(self, rank: int) -> Row:
        """Return one call as the vendor would send it."""
        _, start, chance = self.arrivals.at(rank)
        seconds = 1 + chance[1] * chance[2] % 601
        by_minutes = chance[3] < _HALF
        minutes = Decimal(-(-seconds // 60)) if by_minutes else Decimal(-(-seconds * 100 // 60)) / 100
        direction, reason, reason_name = _DID_ENDINGS[chance[4] & 3]
        row: Row = {
            "number": f"668{20_000_000 + chance[5] % 40 * 7919}",
            "callDuration": seconds,
            "endReason": reason,
            "feeDurationMinute": minutes,
            "feeType": 0 if by_minutes else 1,
            "callType": 0 if chance[6] < 45_000 else 1,  # noqa: PLR2004 - two calls in three come in
            "callerIp": "127.0.0.1",
            "endReasonName": reason_name,
            "callNumber": f"668{10_000_000 + chance[7] * 13}",
            "calleeIp": "127.0.0.1",
            "callPrice": minutes * _UNIT,
            "endDirection": direction,
            "startTime": local_text(start),
            "id": self.did_id(rank),
            "countryName": _COUNTRIES[chance[8] % len(_COUNTRIES)],
            "endTime": local_text(start + 1000 * seconds),
            "callPriceUnit": _UNIT,
        }
        if chance[9] % 7 == 0:
            del row["number"]
        return row


class FlashRows:
    """Computes flash calls."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals

    def flash_id(self, rank: int) -> int:
        """Return the id of a flash call."""
        return _FIRST_FLASH_ID + rank

    def request_id(self, rank: int) -> str:
        """Return the id of the request for a flash call."""
        return _request_id(self.arrivals.at(rank)[2])

    def ranks_of_request(self, request_id: str) -> list[int]:
        """Return the ranks of the flash calls of a request, none or one."""
        rank = self._rank_of_request.get(request_id)
        return [] if rank is None else [rank]

    @cached_property
    def _rank_of_request(self) -> dict[str, int]:
        """Where each request is found. Computed when it is first needed, as most histories are read by time only."""
        return {self.request_id(rank): rank for rank in range(self.arrivals.total)}

    def row(self, rank: int) -> Row:
        """Return one flash call as the vendor would send it."""
        _, start, chance = self.arrivals.at(rank)
        calling_number = f"21509{chance[1]:05d}"
        rang = chance[2] < _HALF
        return {
            "id": self.flash_id(rank),
            "customerId": 1,
            "appId": 1,
            "msisdn": f"{' ' if chance[3] % 32 == 0 else ''}1821{chance[4]:05d}",
            "callingNumber": calling_number,
            "token": calling_number[-4:],
            "requestId": _request_id(chance),
            "ip": None if chance[5] < _HALF else "203.0.113.7",
            "price": Decimal("0.0") if not rang else Decimal("0.0120"),
            "gmtCreate": local_text(start),
            "gmtModified": local_text(start + 4000) if rang else None,
            "callStartAt": local_text(start + 1000) if rang else None,
            "callEndAt": local_text(start + 4000) if rang else None,
            "callbackAt": local_text(start + 5000) if rang and chance[6] < _HALF else None,
            "callStatus": 1 if rang else 0,
        }


def _request_id(chance: tuple[int, ...]) -> str:
    return "".join(f"{part:04x}" for part in chance[8:16])
