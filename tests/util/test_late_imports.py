"""Packages that are imported by the first who needs them, also while time is frozen: pandas would crash then."""

import subprocess
import sys

import pytest

from nxcdr_async._util.late_imports import import_arrow, import_late

FROZEN = """
import datetime, sys
from freezegun import freeze_time
from nxcdr_async._util.late_imports import import_arrow, import_late
with freeze_time("2020-02-29"):
    standing_in = datetime.datetime, datetime.date
    {imported}
    assert (datetime.datetime, datetime.date) == standing_in
    assert "pandas" in sys.modules
    import pandas
    assert pandas.Timestamp(2020, 1, 1).year == 2020
"""


@pytest.mark.first_of
@pytest.mark.parametrize("imported", ["import_arrow()", "import_late('pandas')"])
def test_pandas_outlives_frozen_time(imported: str) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FROZEN.format(imported=imported)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_a_package_is_given_as_it_is() -> None:
    assert import_late("json").loads("1") == 1
    assert import_arrow().array([1]).to_pylist() == [1]


def test_a_package_that_is_not_there_says_so() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_late("no_such_package_of_anyone")


THREADS = """
import datetime, sys, threading
from importlib.machinery import ModuleSpec
from freezegun import freeze_time
from nxcdr_async._util.late_imports import import_late

class Slow:
    begun = {"slow_first": threading.Event(), "slow_second": threading.Event()}
    done = {"slow_first": threading.Event(), "slow_second": threading.Event()}
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name in self.begun else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        self.begun[module.__name__].set()
        assert self.done[module.__name__].wait(60)

slow = Slow()
sys.meta_path.insert(0, slow)
with freeze_time("2020-02-29"):
    standing_in = datetime.datetime, datetime.date
    threads = []
    for name in slow.begun:
        threads.append(threading.Thread(target=import_late, args=[name]))
        threads[-1].start()
        assert slow.begun[name].wait(60)
    for name, thread in zip(slow.done, threads):
        slow.done[name].set()
        thread.join()
    assert (datetime.datetime, datetime.date) == standing_in
"""


def test_time_stays_frozen_when_threads_import_at_once() -> None:
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", THREADS], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
