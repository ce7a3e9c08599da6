"""The table of faults is worth as much as what counts for it: it misses no fault and no row."""

import attrs
import faults
from fault_table.account import Account
from fault_table.cases import NO_FAULTS, cases

from nxcdr_async import Direction
from nxcdr_async.testing import FAULT_KINDS, Gateway, Switches


def test_every_kind_of_fault_has_a_line() -> None:
    tried = [case.switches["faults"] for case in cases() if "faults" in case.switches]
    assert {kind for kinds in tried for kind in kinds} == set(FAULT_KINDS)
    assert [kinds[0] for kinds in tried if len(kinds) == 1] == list(FAULT_KINDS)


def test_every_switch_of_the_emulator_has_a_line_or_makes_nothing_go_wrong() -> None:
    switched = {name for case in cases() for name in case.switches}
    assert {switch.name for switch in attrs.fields(Switches)} <= switched | NO_FAULTS


def test_every_line_has_a_name_of_its_own() -> None:
    names = [case.fault for case in cases()]
    assert len(names) == len(set(names))


def test_rows_that_are_missing_twice_there_or_not_asked_for_are_counted() -> None:
    account = Account.of(["a", "b", "b", "x"], due=["a", "b", "c"], known=["a", "b", "c"])
    assert account == Account(rows=4, lost=1, doubled=1, stray=1)
    assert account + account == Account(rows=8, lost=2, doubled=2, stray=2)


def test_where_a_filter_is_asked_for_only_what_it_lets_through_is_due_or_known() -> None:
    gateway = Gateway(400, days=faults.DAYS)
    for source_of in (faults.calls_of, faults.did_calls_of):
        whole, inbound = source_of(gateway), source_of(gateway, Direction.INBOUND)
        assert set(inbound.due()) < set(whole.due())
        assert set(inbound.known()) < set(whole.known())
        assert Account.of(whole.due(), due=inbound.due(), known=inbound.known()).stray
