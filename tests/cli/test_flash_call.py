"""`nxcdr flash-call` in processes of its own."""

from typing import Any

DAYS = ("--start", "2026-01-01", "--end", "2026-01-03")


def test_the_call_of_a_request_is_one_line(nxcdr: Any) -> None:
    listed = nxcdr("flash", *DAYS).records[7]
    ended = nxcdr("flash-call", str(listed["request_id"]))
    assert (ended.code, ended.err) == (0, "")
    (found,) = ended.records
    assert (found["id"], found["request_id"]) == (listed["id"], listed["request_id"])


def test_a_request_that_nobody_knows_writes_nothing_and_says_so(nxcdr: Any) -> None:
    ended = nxcdr("flash-call", "of-nobody")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "no flash call is known by request id of-nobody\n"


def test_it_is_asked_with_the_keys_of_the_flash_app(nxcdr: Any) -> None:
    ended = nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")("flash-call", "of-nobody")
    assert ended.code == 0
    ended = nxcdr.without("NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")("flash-call", "of-nobody")
    assert ended.code == 2
    assert ended.err.startswith("error: no flash app: set NXCDR_FLASH_APPKEY and ")


def test_a_request_id_is_wanted(nxcdr: Any) -> None:
    ended = nxcdr("flash-call")
    assert (ended.code, ended.out) == (2, "")
    assert "missing argument 'REQUEST_ID'" in ended.err
