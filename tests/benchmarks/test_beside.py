"""Figures of two trees are only worth comparing if each is that of the tree it is said to be of."""

import shutil
import subprocess
from pathlib import Path

import pytest
from shared.beside import BEFORE, HERE, NOW, Tree, call_once, trees
from shared.emulation import Told

TOLD = Told("http://127.0.0.1:9", "key", "secret", calls=0, days=1, start=0, end=1, tenant_id=1)
MODULE = "module_of_a_benchmark"
CODE = "import nxcdr_async\ndef version(told, more):\n    return [nxcdr_async.__version__, told.access_key, more]\n"


def version(told: Told, more: int) -> None:
    """What is called in the child under this name."""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder with another package of our name, and a benchmark."""
    package = tmp_path / "nxcdr_async"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = 'another'\n", encoding="utf-8")
    (tmp_path / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def test_a_child_runs_the_code_of_its_tree(other: Path) -> None:
    with trees(str(other)) as both:
        assert [tree.name for tree in both] == [NOW, BEFORE]
        assert call_once(both[1], f"{MODULE}.py", version, TOLD, 3) == ["another", "key", 3]


def test_code_of_another_tree_is_refused(other: Path) -> None:
    (other / "empty").mkdir()
    (other / "nxcdr_async").rename(other / "hidden")
    with pytest.raises(RuntimeError, match="not imported from"):
        call_once(Tree(BEFORE, other), f"{MODULE}.py", version, TOLD, 3)


def test_without_another_tree_there_is_ours_alone() -> None:
    with trees(None) as only:
        assert only == [HERE]


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_a_commit_is_taken_from_git(monkeypatch: pytest.MonkeyPatch, other: Path) -> None:
    git = ["git", "-C", str(other), "-c", "user.name=n", "-c", "user.email=e@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a commit"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr("shared.beside.ROOT", other)
    with trees("HEAD") as (_, before):
        assert "another" in (before.folder / "nxcdr_async" / "__init__.py").read_text(encoding="utf-8")
    assert not before.folder.exists()
