"""Places for files and folders of call data: checked before anything is read, and private."""

import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from nxcdr_async.errors import ConfigurationError, SinkError

OWNER_ONLY = 0o600
"""The rights of a file that nobody else may read."""

OWNER_ONLY_FOLDER = 0o700
"""The rights of a folder that nobody else may look into."""

LONGEST_NAME = 255
"""Bytes of the name of a file or folder that nearly all systems take."""

RANDOM_CHARACTERS = 8
"""How many `tempfile` puts into a name."""

_HEXADECIMALS = 16
_SHOWN = 40


def is_file_url(text: str) -> bool:
    """Tell whether a text is meant to be a `file:` URL."""
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
    known_by = sha256(os.fsencode(name)).hexdigest()[:_HEXADECIMALS]
    room = LONGEST_NAME - random - len(f".-{known_by}{suffix}")
    return f".{os.fsencode(name)[:room].decode(errors='ignore')}-{known_by}{suffix}"


def check_name(path: Path, suffix: str = "") -> None:
    """Check that a name is not too long, also for a file that a library keeps beside it.

    Raises:
        ConfigurationError: it is.
    """
    over = len(os.fsencode(f"{path.name}{suffix}")) - LONGEST_NAME
    if over > 0:
        beside = f", with the file {suffix} that is kept beside it" if suffix else ""
        raise ConfigurationError(f"the name {path.name[:_SHOWN]}… is {over} bytes too long{beside}: give a shorter one")


def check_place(path: Path, beside: str = "") -> None:
    """Check that a file can be at a path, without opening what is there.

    Args:
        path: where.
        beside: the longest end of the files that a library keeps beside it, under its name.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
        SinkError: it is there and cannot be written.
    """
    check_folder(path.parent)
    check_name(path.resolve(), beside)
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: give a file with --to")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise SinkError(f"cannot write {path}: it is read-only to us; change its rights, or give another --to")


def claimed_file(path: Path) -> None:
    """Make sure that a file is there, readable to its owner only if it was not, and that it can be written.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
        SinkError: it cannot be written.
    """
    check_place(path)
    path = path.resolve()  # a link to where nothing is yet
    # On closing any file the system drops all locks this process has on it, those of a run in another thread too.
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:  # made by somebody else just now
        return
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at a path from any other that may take its place; None if none is there."""
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino


def check_still_there(path: Path, before: tuple[int, int] | None) -> None:
    """Check that a file is the one it was, as what is written into one that was removed is lost.

    Raises:
        SinkError: it is not.
    """
    if identity(path) != before:
        raise SinkError(
            f"{path} was removed or replaced while it was written: what this run has stored is not there any more; "
            "the same run started again goes on from what is"
        )


def unlocked(path: Path) -> SinkError:
    """Return the error of a file whose locks are gone, as POSIX drops them once anything in the process closes it."""
    return SinkError(
        f"{path} was opened by another program while it was written, as something in this process had opened and "
        "closed it, which lets go of all its locks: leave the file alone while a run is at work, and start the same "
        "run again, which goes on from what is there"
    )


def check_place_of_folder(path: Path) -> None:
    """Check that a folder can be at a path, and be written if it is there.

    Raises:
        ConfigurationError: the folder it is in is not there, or it is a file itself.
        SinkError: it is there and cannot be written.
    """
    check_folder(path.parent)
    check_name(path.resolve())
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{path} is a file: give a folder with --to")
    if path.exists() and not os.access(path, os.W_OK):
        raise SinkError(f"cannot write into {path}: it is read-only to us; change its rights, or give another --to")


def claimed_folder(path: Path) -> None:
    """Make sure that a folder is there, open to its owner only if it was not.

    Raises:
        SinkError: it cannot be made.
    """
    path = path.resolve()  # a link to where nothing is yet
    try:
        path.mkdir(OWNER_ONLY_FOLDER, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {path}: {error.strerror}") from None


def check_folder(folder: Path) -> None:
    """Check that a folder is there.

    Raises:
        ConfigurationError: it is not.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: make it first, or give another --to")
