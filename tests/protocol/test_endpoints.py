from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async import CallRecord, DidCallRecord, FlashCallRecord
from nxcdr_async.protocol import endpoints
from nxcdr_async.protocol.auth import HeaderSignature
from nxcdr_async.protocol.codes import FLASH_CODES
from nxcdr_async.protocol.endpoints import CALLS, DID, ENDPOINTS, FLASH, FLASH_CALL, ORDER, Endpoint
from nxcdr_async.records.models import vendor_fields

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("endpoint", "path", "biz_type", "action", "home"),
    [
        (CALLS, "/saas/cc/openapi/cdr/page", "8", "cc", "region"),
        (ORDER, "/saas/cc/openapi/cdr/queryByOrderId", "8", "cc", "region"),
        (DID, "/api/did/cdr", "4", "cdr", "shared"),
        (FLASH, "/otp/call/list", None, None, "shared"),
        (FLASH_CALL, "/otp/call/get", None, None, "shared"),
    ],
)
def test_an_endpoint_is_where_the_vendor_documents_it(
    endpoint: Endpoint[Any], path: str, biz_type: str | None, action: str | None, home: str
) -> None:
    auth = endpoint.auth
    signed = (auth.biz_type, auth.action) if isinstance(auth, HeaderSignature) else (None, None)
    assert (endpoint.path, *signed, endpoint.gateway) == (path, biz_type, action, home)


def test_pages_are_as_long_as_the_vendor_allows() -> None:
    assert (CALLS.page_size, DID.page_size, FLASH.page_size) == (100, 999, 100)


def test_the_table_holds_every_endpoint_once() -> None:
    known = [value for value in vars(endpoints).values() if isinstance(value, Endpoint)]
    assert list(ENDPOINTS) == known
    assert len({endpoint.name for endpoint in known}) == len({endpoint.path for endpoint in known}) == len(known)


def test_only_flash_calls_have_codes_of_their_own() -> None:
    assert [endpoint for endpoint in ENDPOINTS if endpoint.codes is FLASH_CODES] == [FLASH, FLASH_CALL]


def test_only_an_api_that_looks_up_one_call_answers_with_one_row() -> None:
    assert [endpoint for endpoint in ENDPOINTS if endpoint.is_single] == [FLASH_CALL]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_id_key_is_a_field_of_the_record(endpoint: Endpoint[Any]) -> None:
    assert endpoint.id_key in vendor_fields(endpoint.record_class)


@pytest.mark.parametrize(
    ("endpoint", "record", "identity"),
    [
        (CALLS, CallRecord(call_id="a", start_time=NOON), "a"),
        (ORDER, CallRecord(call_id="a", start_time=NOON), "a"),
        (DID, DidCallRecord(id=3, start_time=NOON), 3),
        (DID, DidCallRecord(start_time=NOON), None),
        (FLASH, FlashCallRecord(id=4, gmt_create=NOON), 4),
    ],
)
def test_a_record_is_known_by_its_id_and_sorted_by_its_time(
    endpoint: Endpoint[Any], record: Any, identity: object
) -> None:
    assert endpoint.identity(record) == identity
    assert endpoint.start_ms(record) == NOON.timestamp() * 1000


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"id": 7}, "7"),
        ({"id": "7"}, "7"),
        ({"id": Decimal("7.0")}, "7"),
        ({"id": Decimal("7.5")}, None),
        ({"id": ""}, None),
        ({"id": None}, None),
        ({"id": []}, None),
        ([], None),
    ],
)
def test_a_row_without_a_usable_id_has_no_key(row: Any, key: object) -> None:
    assert DID.row_key(row) == key
