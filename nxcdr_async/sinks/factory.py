"""Which sink a location means: an address, a path by its suffix, or a sink of one's own."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from nxcdr_async._util.late_imports import import_arrow, import_late
from nxcdr_async._util.validation import as_text
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.sinks.paths import as_path, check_file_place, is_file_url

if TYPE_CHECKING:
    from nxcdr_async.sinks.protocol import Sink


class _SinkKind(NamedTuple):
    """A kind of sink: its module, imported with the first, what makes one there, and the extra that it needs."""

    module: str
    name: str
    extra: str


_KINDS = {
    ".duckdb": _SinkKind("duckdb", "DuckDbSink", "duckdb"),
    ".sqlite": _SinkKind("sqlite", "SqliteSink", "sqlite"),
    ".parquet": _SinkKind("folder.parquet", "ParquetSink", "files"),
    ".jsonl": _SinkKind("folder.jsonl", "JsonLinesSink", "files"),
    ".csv": _SinkKind("folder.csv", "CsvSink", "files"),
}
"""What a path means, by its suffix."""

_POSTGRESQL = _SinkKind("postgresql.sink", "PostgresqlSink", "postgres")
_POSTGRESQL_SCHEMES = ("postgresql://", "postgres://")
_KNOWN = "postgresql://…, a file .duckdb or .sqlite, or a folder .parquet, .jsonl or .csv"
_REQUIRED = ("name", "open", "inspect", "create", "find", "write", "scan", "close")
"""What every sink has, as `Sink` says."""


def sink_for(to: "str | Path | Sink") -> "Sink":
    """Return the sink that a location means.

    Args:
        to: `postgresql://…`, a file `….duckdb` or `….sqlite`, a folder `….parquet`, `….jsonl` or `….csv`, in a home `~`
            and as a `file:` URL too; or a sink.

    Raises:
        ConfigurationError: no sink goes by such a name, or a package for it is missing.
    """
    if not isinstance(to, str | Path):
        if isinstance(to, bytes | PurePath) or to is None:
            raise ConfigurationError(f"a store is of type {type(to).__name__}: give text or a pathlib.Path, {_KNOWN}")
        return _checked(to)
    text = as_text(to) or ""
    if text.startswith(_POSTGRESQL_SCHEMES):
        return _maker(_POSTGRESQL)(text)
    if "://" in text and not is_file_url(text):
        raise ConfigurationError(f"no sink is known for {text.split('://', 1)[0]}://: give {_KNOWN}")
    path = as_path(to if isinstance(to, Path) else text)
    if path.suffix not in _KINDS:
        # What has an @ may be a misspelt address with a password.
        name = "what is given" if "@" in path.name else repr(path.name)
        raise ConfigurationError(f"no sink is known for {name}: give {_KNOWN}")
    _check_path(path)
    return _maker(_KINDS[path.suffix])(path)


def check_file(to: "str | Path | Sink") -> None:
    """Check that there can be a file where a sink is meant to be one, before it is needed.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
        SinkError: it is there and cannot be written.
    """
    path = path_of(to)
    if path is not None:
        check_file_place(path)


def path_of(to: "str | Path | Sink") -> Path | None:
    """Return where on the disk a sink is meant to be; None if it is not.

    Raises:
        ConfigurationError: it cannot be anywhere.
    """
    if isinstance(to, Path):
        return as_path(to)
    text = as_text(to)
    return None if text is None or text.startswith(_POSTGRESQL_SCHEMES) else as_path(text)


def check_arrow() -> None:
    """Import Arrow, which rows are handed to sinks as.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("pyarrow") is None:
        raise ConfigurationError(
            "a store needs the package pyarrow: install nxcdr-async with the extra of the store: files (for folders), "
            "sqlite, duckdb or postgres"
        )
    import_arrow()


def _check_path(path: Path) -> None:
    try:
        str(path).encode()
        path.resolve().exists()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"nothing can be stored at {os.fsencode(path)!r}: its name is not in UTF-8, or this machine's language is "
            "not (set LANG=C.UTF-8); give another --to"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name, or a link that leads nowhere"
        raise ConfigurationError(f"nothing can be stored at {str(path)!r}: {reason}; give another --to") from None


def _maker(kind: _SinkKind) -> "Callable[[str | Path], Sink]":
    try:
        maker: Callable[[str | Path], Sink] = getattr(import_late(f"nxcdr_async.sinks.{kind.module}"), kind.name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("nxcdr_async"):
            raise
        raise ConfigurationError(
            f"this sink needs the package {missing.name}: install nxcdr-async with its extra {kind.extra}"
        ) from None
    return maker


def _checked(sink: "Sink") -> "Sink":
    """Check that something has all that a sink has, before a run begins."""
    missing = [name for name in _REQUIRED if not hasattr(sink, name)]
    if missing:
        kind = type(sink).__name__
        raise ConfigurationError(f"a sink of your own, of type {kind}, lacks {', '.join(missing)}: or give {_KNOWN}")
    return sink
