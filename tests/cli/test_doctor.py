from typing import Any

from nxcdr_async.testing import Gateway


def _marks(out: str) -> dict[str, str]:
    """Marks of the checks, by their names."""
    rows = [line.split("  ") for line in out.splitlines() if not line.startswith(" ")]
    return {row[1].strip(): row[0] for row in rows}


def test_all_is_well(nxcdr: Any) -> None:
    ended = nxcdr("doctor")
    assert ended.code == 0
    checks = ("gateway", "name", "connection", "credentials", "signed request", "clock", "flash app")
    assert _marks(ended.out) == {**dict.fromkeys(checks, "✓"), "proxy": "·"}


def test_it_reads_in_ascii(nxcdr: Any) -> None:
    ended = nxcdr.without("NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")("doctor", PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert ended.out.isascii()
    marks = _marks(ended.out)
    assert marks["clock"] == "ok"
    assert marks["flash app"] == "-"


def test_a_wrong_secret_is_found(nxcdr: Any) -> None:
    ended = nxcdr("doctor", NXCDR_ACCESS_SECRET="a-wrong-secret", NXCDR_FLASH_SECRETKEY="a-wrong-secret")
    assert ended.code == 1
    marks = _marks(ended.out)
    assert (marks["connection"], marks["signed request"], marks["clock"], marks["flash app"]) == ("✓", "✗", "✓", "✗")
    assert "1003" in ended.out


def test_missing_credentials_are_found(nxcdr: Any) -> None:
    ended = nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")("doctor")
    assert ended.code == 1
    assert _marks(ended.out)["credentials"] == "✗"
    assert "Set NXCDR_ACCESS_KEY" in ended.out
    half = nxcdr.without("NXCDR_ACCESS_KEY")("doctor")
    assert half.code == 1
    assert "NXCDR_ACCESS_KEY is not set" in half.out


def test_a_host_nobody_knows_and_a_port_nobody_serves(nxcdr: Any) -> None:
    unknown = nxcdr("doctor", "--gateway", "https://gateway.invalid")
    assert unknown.code == 1
    assert _marks(unknown.out) == {"gateway": "✓", "proxy": "·", "name": "✗"}
    closed = nxcdr("doctor", "--gateway", "http://127.0.0.1:9")
    assert closed.code == 1
    assert _marks(closed.out) == {"gateway": "✓", "proxy": "·", "name": "✓", "connection": "✗"}


def test_a_clock_that_is_off_is_told(nxcdr: Any, gateway: Gateway) -> None:
    gateway.clock.move(30)
    try:
        ended = nxcdr("doctor")
    finally:
        gateway.clock.move(-30)
    assert ended.code == 0
    assert "s behind the gateway's, which nxcdr makes up for" in ended.out.replace("\n", " ")
