"""Where a file or folder of call data is to be: the path that is meant, its name, and whether anything can be there."""

import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from nxcdr_async._util.counts import counted
from nxcdr_async.errors import ConfigurationError, SinkError

LONGEST_NAME = 255
"""Bytes of the name of a file or folder that nearly all systems take."""

RANDOM_CHARACTERS = 8
"""How many `tempfile` puts into a name."""

_HEXADECIMALS = 16
_SHOWN = 40


def is_file_url(text: str) -> bool:
    """Return whether a text is meant to be a `file:` URL."""
    return text[:5].lower() == "file:"


def as_path(given: str | Path) -> Path:
    """Return the path that is meant, on this machine: with `~` for a home, also as a `file:` URL.

    Raises:
        ConfigurationError: there is no such home, or the URL is of another machine.
    """
    text = str(given)
    if is_file_url(text):
        text = _path_of_url(text)
    elif text.startswith("~"):
        text = os.path.expanduser(text)  # noqa: PTH111 - to pathlib ./~ would be a home too
        if text.startswith("~"):
            raise ConfigurationError(f"there is no home {Path(text).parts[0]}: write the path in full")
    return Path(text)


def _path_of_url(url: str) -> str:
    from urllib.request import url2pathname  # noqa: PLC0415 - slow to import, and seldom needed

    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ConfigurationError(
            "a file: URL is not one of a file on this machine: write the path, or file:///folder/file with ? and # "
            "percent-encoded"
        )
    return url2pathname(parts.path)


def name_beside(name: str, suffix: str, *, random: int = 0) -> str:
    """Return how a file of ours beside another is called: hidden, by its name, shortened if that is too long.

    Args:
        name: that of the other.
        suffix: what ours ends with.
        random: how many further characters go into it.
    """
    whole = f".{name}{suffix}"
    if len(os.fsencode(whole)) + random <= LONGEST_NAME:
        return whole
    digest = sha256(os.fsencode(name)).hexdigest()[:_HEXADECIMALS]
    room = LONGEST_NAME - random - len(f".-{digest}{suffix}")
    return f".{os.fsencode(name)[:room].decode(errors='ignore')}-{digest}{suffix}"


def check_name(path: Path, suffix: str = "") -> None:
    """Check that a name is not too long, also for a file that a library keeps beside it.

    Raises:
        ConfigurationError: it is.
    """
    over = len(os.fsencode(f"{path.name}{suffix}")) - LONGEST_NAME
    if over > 0:
        beside = f", with the file {suffix} that is kept beside it" if suffix else ""
        raise ConfigurationError(
            f"the name {path.name[:_SHOWN]}… is {counted(over, 'byte')} too long{beside}: give a shorter one"
        )


def check_parent(path: Path) -> None:
    """Check that the folder is there that a path is in.

    Raises:
        ConfigurationError: it is not.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another --to")


def check_file_place(path: Path, beside: str = "") -> None:
    """Check that a file can be at a path, without opening what is there.

    Args:
        path: where.
        beside: the longest end of the files that a library keeps beside it, under its name.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
        SinkError: it is there and cannot be written.
    """
    check_parent(path)
    check_name(path.resolve(), beside)
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: give a file with --to")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise SinkError(f"cannot write {path}: it is read-only to us; change its rights, or give another --to")


def check_is_there(path: Path, *, is_folder: bool = False) -> None:
    """Check that a store is at a path, and can be read.

    Raises:
        ConfigurationError: it is not.
        SinkError: it cannot be read.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no store {path}: give the --to of an earlier backfill")
    if path.is_dir() != is_folder:
        kind, wanted = ("file", "folder") if is_folder else ("folder", "file")
        raise ConfigurationError(f"{path} is a {kind}: give a {wanted} with --to")
    if not os.access(path, os.R_OK):
        raise SinkError(f"cannot read {path}: its rights do not let us")


def check_folder_place(path: Path) -> None:
    """Check that a folder can be at a path, and be written if it is there.

    Raises:
        ConfigurationError: the folder it is in is not there, or it is a file itself.
        SinkError: it is there and cannot be written.
    """
    check_parent(path)
    check_name(path.resolve())
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{path} is a file: give a folder with --to")
    if path.exists() and not os.access(path, os.W_OK):
        raise SinkError(f"cannot write into {path}: it is read-only to us; change its rights, or give another --to")
