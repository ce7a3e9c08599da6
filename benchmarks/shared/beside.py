"""The code of this tree and that of another, one beside the other: each reads in processes that import it alone.

A machine that is busy with other things, or another one than yesterday, makes a figure of no use beside an older one.
What both came to in turn, in one run, can be compared. Emulators are always those of this tree.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from attrs import asdict, define

if TYPE_CHECKING:
    from shared.emulation import Told

ROOT = Path(__file__).parents[2]
NOW, BEFORE = "now", "before"

_SECONDS_TO_END = 10.0


@define(frozen=True)
class Tree:
    """Code that can be run.

    Attributes:
        name: "now" or "before".
        folder: the one that holds the package.
    """

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """That of processes which are to import this code, whatever is installed, and the benchmarks."""
        path = [str(self.folder), str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


HERE = Tree(NOW, ROOT)


def add_beside(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option that `trees` takes."""
    parser.add_argument(
        "--beside",
        metavar="COMMIT",
        help="run the code of this commit, or of a folder that holds it, in turn with ours",
    )


@contextmanager
def trees(beside: str | None) -> Iterator[list[Tree]]:
    """Yield this tree and, if it is asked for, another one: a folder, or a commit, taken from git for the while."""
    if beside is None:
        yield [HERE]
    elif Path(beside).is_dir():
        yield [HERE, Tree(BEFORE, Path(beside).resolve())]
    else:
        with TemporaryDirectory() as folder:
            command = ["git", "-C", str(ROOT), "archive", "--format=zip", beside]
            packed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            with ZipFile(BytesIO(packed)) as archive:
                archive.extractall(folder)
            yield [HERE, Tree(BEFORE, Path(folder))]


class Child:
    """A process that runs functions of a benchmark with the code of one tree."""

    def __init__(self, process: "subprocess.Popen[str]", tree: Tree) -> None:
        self._process = process
        # A figure of the wrong code is worse than none.
        if not Path(self._answer()).samefile(tree.folder):
            raise RuntimeError(f"the package was not imported from {tree.folder}")

    def call(self, function: Callable[..., Any], told: "Told", *arguments: Any) -> Any:
        """Have a function of the benchmark's module called there; return what it returns, as JSON knows it."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no stdin")
        self._process.stdin.write(f"{json.dumps([function.__name__, asdict(told), arguments])}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the process has ended; what it says stands above")
        return json.loads(line)


@contextmanager
def child(tree: Tree, script: str) -> Iterator[Child]:
    """Run a process for a benchmark until the block ends.

    Args:
        tree: whose code it imports.
        script: the benchmark's file, `__file__` there.
    """
    # -P: neither the folder of a script nor the current one comes before the tree.
    command = [sys.executable, "-P", "-m", "shared.child", Path(script).stem]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=tree.environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Child(process, tree)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()


def call_once(tree: Tree, script: str, function: Callable[..., Any], told: "Told", *arguments: Any) -> Any:
    """Call a function in a fresh process; see `child` and `Child.call`."""
    with child(tree, script) as fresh:
        return fresh.call(function, told, *arguments)
