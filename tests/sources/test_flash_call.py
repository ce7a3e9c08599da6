"""One flash call by the id of its request, over the emulator."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async import (
    AuthenticationError,
    CdrSession,
    ConfigurationError,
    FlashApp,
    GatewayError,
    IncompleteError,
    RecordError,
)
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession


async def test_a_flash_call_is_found_by_its_request(gateway: Gateway, open_session: OpenSession) -> None:
    added = gateway.add_flash_call(requestId="00ff", gmtCreate="2021-04-29 10:52:21", price=Decimal("0.0120"))
    call = await open_session().flash_call("00ff")
    assert call is not None
    assert (call.id, call.request_id) == (added, "00ff")
    assert call.gmt_create == datetime(2021, 4, 29, 2, 52, 21, tzinfo=UTC)
    assert call.extra == {"cost": Decimal("0.0120")}


async def test_it_is_the_call_that_the_list_tells(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    listed = await session.flash_calls(gateway.first_call, gateway.last_call).collect()
    assert listed
    for one in listed[:5]:
        found = await session.flash_call(one.request_id or "")
        assert found is not None
        assert found.extra.pop("cost") == one.price
        assert found == one


async def test_an_unknown_request_is_asked_for_twice_and_has_none(gateway: Gateway, open_session: OpenSession) -> None:
    assert await open_session().flash_call("nobody") is None
    assert gateway.log.by_endpoint["flash_call"] == 2


@pytest.mark.parametrize("answer", ["empty", "429", "99"])
async def test_it_is_asked_again_where_that_helps(answer: Any, gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_flash_call(requestId="00ff")
    session = open_session()
    session._transport.sleep = no_sleep
    gateway.fail_next(answer, endpoint="flash_call")
    assert await session.flash_call("00ff") is not None
    assert session.stats.retries == 1


async def no_sleep(_: float) -> None:
    """Return at once."""


async def test_a_wrong_key_is_refused(open_session: OpenSession) -> None:
    with pytest.raises(AuthenticationError) as refused:
        await open_session(flash_app=FlashApp("nobody", "secret-of-nobody")).flash_call("00ff")
    assert refused.value.code == 1
    assert "secret-of-nobody" not in str(refused.value)


async def test_another_call_than_the_one_asked_for_is_an_error(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.ignore_filters = True
    with pytest.raises(IncompleteError, match="do not answer request_id='nobody'") as refused:
        await open_session().flash_call("nobody")
    assert refused.value.asked_for == "flash call of request 'nobody'"


async def test_another_call_that_tells_the_secret_back_does_not_show_it() -> None:
    with Gateway(calls=0, flash_calls=0) as gateway:
        secret = gateway.flash_app.secretkey
        gateway.add_flash_call(requestId=f"of {secret}")
        gateway.switches.ignore_filters = True
        async with CdrSession(gateway=gateway.url, flash_app=gateway.flash_app) as cdr:
            with pytest.raises(IncompleteError, match="one has requestId 'of …'") as refused:
                await cdr.flash_call("00ff")
    assert secret not in str(refused.value)


async def test_what_cannot_be_a_record_is_an_error(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_flash_call(requestId="00ff", price="much")
    with pytest.raises(RecordError) as refused:
        await open_session().flash_call("00ff")
    assert (refused.value.path, refused.value.asked_for) == ("price", "flash call of request '00ff'")


async def test_no_flash_app_is_told_before_anything_is_asked(gateway: Gateway) -> None:
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as cdr:
        with pytest.raises(ConfigurationError, match="no flash-call application"):
            await cdr.flash_call("00ff")
    assert not gateway.log.requests


@pytest.mark.parametrize("wrong", [None, "", 5, b"00ff"])
async def test_what_is_no_id_is_refused(wrong: Any, gateway: Gateway, open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError, match=r"request_id is .*: give the id of the request") as refused:
        await open_session().flash_call(wrong)
    assert "leave it out" not in str(refused.value)
    assert not gateway.log.requests


async def test_an_id_that_cannot_be_sent_is_refused(gateway: Gateway, open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError, match=r"request_id is .*no valid text"):
        await open_session().flash_call("\ud800")
    assert not gateway.log.requests


async def test_a_code_that_nobody_documents_is_told(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    session._transport.sleep = no_sleep
    with gateway.failing("88", endpoint="flash_call"), pytest.raises(GatewayError) as refused:
        await session.flash_call("00ff")
    assert refused.value.code == 88
