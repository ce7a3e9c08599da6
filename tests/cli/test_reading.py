import os
import re
import signal
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nxcdr_async._util.counts import counted
from nxcdr_async.testing import Gateway, Switches

BOTH_DAYS = ("--start", "2026-01-01", "--end", "2026-01-03")


def test_every_call_is_a_line_of_json(nxcdr: Any, gateway: Gateway) -> None:
    ended = nxcdr("calls", *BOTH_DAYS)
    assert ended.code == 0
    assert ended.err.startswith("done: 700 records, ")
    assert [call["call_id"] for call in ended.records] == gateway.call_ids()
    starts = [datetime.fromisoformat(call["start_time"]) for call in ended.records]
    assert all(earlier <= later for earlier, later in pairwise(starts))
    told = sum(Decimal(str(row["totalCustomerPrice"])) for row in gateway.history.calls())
    assert sum(Decimal(call["total_customer_price"]) for call in ended.records) == told
    assert not [call for call in ended.records if "E" in call["total_customer_price"]]


def test_derived_values_stand_beside_the_raw_ones(nxcdr: Any) -> None:
    inbound = nxcdr("calls", *BOTH_DAYS, "--direction", "inbound", "--not-answered").records
    assert {call["direction"] for call in inbound} == {"inbound"}
    assert {call["answered"] for call in inbound} == {False}
    left = next(call for call in inbound if call["hangup_code"] == 1103)
    assert (left["hangup_party"], left["hangup_meaning"]) == ("user", "user left the queue")
    times = [datetime.fromisoformat(left[name]) for name in ("in_queue_time", "out_queue_time")]
    assert left["queue_wait"] == (times[1] - times[0]).total_seconds()


def test_times_without_an_offset_are_read_in_the_zone_given(nxcdr: Any, gateway: Gateway) -> None:
    ended = nxcdr("calls", "--start", "2026-01-01T16:00", "--end", "2026-01-02T00:00+08:00", "--tz", "+08:00")
    start, end = (datetime.fromisoformat(f"2026-01-01T{hour}:00:00+00:00") for hour in ("08", "16"))
    expected = gateway.call_ids(start, end)
    assert {call["call_id"] for call in ended.records} >= set(expected)
    assert len(ended.records) - len(expected) <= 1  # the second before the start may be handed out too


def test_the_last_day_of_did_calls_is_read_too(nxcdr: Any, gateway: Gateway) -> None:
    both = nxcdr("did", "--start", "2026-01-01", "--end", "2026-01-02")
    assert sorted(call["id"] for call in both.records) == sorted(gateway.did_ids())
    first = nxcdr("did", "--start", "2026-01-01", "--direction", "inbound")
    assert {call["call_type"] for call in first.records} == {"inbound"}
    assert 0 < len(first.records) < len(both.records)


def test_flash_calls(nxcdr: Any, gateway: Gateway) -> None:
    ended = nxcdr("flash", "--start", "2025-12-31T16:00", "--end", "2026-01-03")
    assert sorted(call["id"] for call in ended.records) == sorted(gateway.flash_ids())


def test_a_saturated_second_ends_with_known_gaps(nxcdr: Any) -> None:
    with Gateway(calls=0, flash_calls=0) as full:
        for _ in range(110):
            full.add_flash_call(gmtCreate="2026-01-01 12:00:00")
        ended = nxcdr("flash", "--start", "2026-01-01T03:59", "--end", "2026-01-01T04:01", NXCDR_GATEWAY=full.url)
    assert ended.code == 3
    assert ended.err.startswith("error: the second 2026-01-01T04:00:00+00:00 holds 100 flash calls")


def test_a_second_of_calls_that_is_not_shown_whole_ends_with_known_gaps(nxcdr: Any) -> None:
    with Gateway(calls=50) as full:
        full.switches.depth_cap = 100
        for number in range(110):
            full.add_call(startTime=1_767_268_800_001 + number)
        ended = nxcdr("calls", "--start", "2026-01-01", "--end", "2026-01-02", NXCDR_GATEWAY=full.url)
    assert ended.code == 3
    assert "error: the second 2026-01-01T12:00:00+00:00 holds 100 calls or more" in ended.err


@pytest.mark.first_of
@pytest.mark.parametrize("words", [(), ("--max-span", "24h")])
@pytest.mark.parametrize("source", ["calls", "flash"])
def test_a_narrow_gateway_is_read_whole(nxcdr: Any, source: str, words: tuple[str, ...]) -> None:
    with Gateway(calls=300, days=7, flash_calls=30) as narrow:
        narrow.switches.max_span = 86_400.0
        days = (source, "--start", "2026-01-01", "--end", "2026-01-09")
        ended = nxcdr(*days, *words, NXCDR_GATEWAY=narrow.url)
        refused = sum(seen.code == 1002 for seen in narrow.log.recent)
    assert (ended.code, len(ended.records)) == (0, 300 if source == "calls" else 30)
    assert bool(refused) is not bool(words)


def test_what_is_too_old_is_named_with_the_way_out(nxcdr: Any) -> None:
    with Gateway(calls=300, days=7) as forgetful:
        forgetful.clock.move_to(datetime(2026, 1, 9, tzinfo=UTC))
        forgetful.switches.retention = 86_400.0 * 5
        ended = nxcdr("calls", "--start", "2026-01-01", "--end", "2026-01-09", NXCDR_GATEWAY=forgetful.url)
    assert (ended.code, ended.out) == (1, "")
    assert "ask from 2026-01-04T00:00:" in ended.err


def test_the_calls_of_an_order(nxcdr: Any, gateway: Gateway) -> None:
    row = next(row for row in gateway.history.calls() if row["orderId"])
    ended = nxcdr("order", row["orderId"], "--tenant", str(gateway.tenant_id))
    assert row["callId"] in [call["call_id"] for call in ended.records]
    unknown = nxcdr("order", "nobody's", "--tenant", str(gateway.tenant_id))
    assert (unknown.code, unknown.out) == (0, "")
    assert unknown.err == f"order nobody's of tenant {gateway.tenant_id} has no calls\n"


def test_an_error_says_what_was_asked_for_and_how_often(nxcdr: Any) -> None:
    with Gateway(calls=5) as silent:
        silent.fail_next("empty", times=1_000)
        asked = ("calls", "--start", "2026-01-01", "--end", "2026-01-02")
        ended = nxcdr(*asked, NXCDR_GATEWAY=silent.url)
    assert ended.code == 1
    words = r"error: page 1 of calls 2026-01-01T00:00:00\+00:00 to 2026-01-02T00:00:00\+00:00: the reply is empty "
    assert re.fullmatch(words + r"\(request [0-9a-f]{32}, 3 attempts\)\n", ended.err)


def test_bad_rows_stop_the_reading_or_are_left_out(nxcdr: Any) -> None:
    with Gateway(calls=30) as spoiled:
        spoiled.add_call(callDuration="no number \x1b[31m")
        stopped = nxcdr("calls", *BOTH_DAYS, NXCDR_GATEWAY=spoiled.url)
        skipped = nxcdr("calls", *BOTH_DAYS, "--skip-bad-rows", NXCDR_GATEWAY=spoiled.url)
    assert stopped.code == 1
    assert stopped.err.startswith("error: page 1 of calls ")
    assert skipped.code == 3
    assert len(skipped.records) == 30
    assert skipped.err.splitlines()[-1] == "warning: left out 1 row that could not be read"
    assert "\x1b" not in stopped.err + skipped.err


@pytest.mark.parametrize(("command", "ids"), [("calls", "call_ids"), ("did", "did_ids"), ("flash", "flash_ids")])
def test_rows_that_are_no_json_are_left_out(nxcdr: Any, command: str, ids: str) -> None:
    switches = Switches(row_faults=["nan", "bad-utf8", "broken"], row_fault_rate=0.1)
    with Gateway(calls=60, did_calls=60, flash_calls=60, switches=switches) as spoiled:
        skipped = nxcdr(
            command, "--start", "2025-12-31", "--end", "2026-01-03", "--skip-bad-rows", NXCDR_GATEWAY=spoiled.url
        )
        told = len(getattr(spoiled, ids)())
    left_out = told - len(skipped.records)
    assert skipped.code == 3
    assert 0 < left_out < told
    assert re.match(r"skipped: (page 1 of )?[a-zA-Z ]*calls .*: row '", skipped.err)
    assert skipped.err.splitlines()[-1] == f"warning: left out {counted(left_out, 'row')} that could not be read"


def test_rows_of_an_order_that_are_no_json_stop_it_or_are_left_out(nxcdr: Any) -> None:
    with Gateway(calls=0) as spoiled:
        ids = spoiled.add_calls(40, orderId="order")
        spoiled.switches.row_faults, spoiled.switches.row_fault_rate = ["nan"], 0.2
        asked = ("order", "order", "--tenant", str(spoiled.tenant_id))
        stopped = nxcdr(*asked, NXCDR_GATEWAY=spoiled.url)
        skipped = nxcdr(*asked, "--skip-bad-rows", NXCDR_GATEWAY=spoiled.url)
    assert stopped.code == 1
    assert re.match(
        r"error: calls of order 'order': row '[^']+', remark: is NaN, which is no value in JSON", stopped.err
    )
    assert skipped.code == 3
    assert 0 < len(skipped.records) < len(ids)


def test_no_text_of_anybodys_steers_the_terminal_or_breaks_a_line(nxcdr: Any) -> None:
    nasty = "a\x1b[2J\x9b31m\x7f\u2028\u0085b\n[bold]c[/]"
    with Gateway(calls=0) as spoiled:
        spoiled.add_call(agentNickName=nasty)
        ended = nxcdr("calls", *BOTH_DAYS, NXCDR_GATEWAY=spoiled.url)
    assert not [one for one in ended.out if not one.isprintable() and one != "\n"]
    assert [call["agent_nick_name"] for call in ended.records] == [nasty]


def test_a_reader_that_leaves_ends_it_quietly(nxcdr: Any) -> None:
    with subprocess.Popen(
        nxcdr.command("calls", *BOTH_DAYS), env=nxcdr.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_a_kill_ends_it_with_one_line(nxcdr: Any) -> None:
    with (
        Gateway(calls=2_000) as slow,
        subprocess.Popen(
            nxcdr.command("calls", *BOTH_DAYS, "--concurrency", "1"),
            env={**nxcdr.environment, "NXCDR_GATEWAY": slow.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        slow.switches.latency = (0.2, 0.2)
        first = os.read(process.stdout.fileno(), 10)
        process.send_signal(signal.SIGTERM)
        rest, told = process.communicate(timeout=30)
    assert process.returncode == 130
    said = re.fullmatch(r"stopped(?:: what was written is complete before (2026-01-0\S+Z))?\n", told.decode())
    assert said
    calls = [msgspec.json.decode(line) for line in (first + rest).splitlines()]  # none of them was cut short
    assert said[1] is None or calls[-1]["start_time"] >= said[1]


def test_a_full_disk_is_said_in_one_line(nxcdr: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            nxcdr.command("calls", *BOTH_DAYS), env=nxcdr.environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == b"error: cannot write the output: No space left on device\n"
