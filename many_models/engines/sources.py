"""Tables read on this machine: parquet and CSV, a file or a folder, local or any fsspec address.

CSV is read as text, every field of it: what a field means is decided by the panel, not by a
reader's guess (`007` and `NA` stay what they are). Parquet goes through Arrow, which reads
the nanosecond stamps that pandas writes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

import pandas as pd

from many_models.errors import DataError, Problem, StorageError, nearest

_PARQUET = (".parquet", ".pq", ".parq")
_CSV = (".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zst")
_BLOCK_BYTES = 16 << 20
"""Bytes of a CSV file that are looked at in one piece; a row may not be longer."""

_ALLOWED = "a parquet or csv file, or a folder of them (.parquet, .csv, .csv.gz …)"


@dataclass(frozen=True)
class Files:
    """The files behind a path: their format, where they are and how they are opened.

    Attributes
    ----------
    path
        As the user wrote it, for messages.
    root
        The path as the file system spells it; a file or a folder.
    names
        The data files, sorted.
    """

    path: str
    root: str
    format: Literal["parquet", "csv"]
    names: tuple[str, ...]
    system: Any

    @classmethod
    def find(cls, path: str) -> Files:
        """The data files at this path.

        Raises
        ------
        DataError
            When there is nothing, naming what is near; when it is of no known format, or of two.
        StorageError
            When the file system does not answer.
        """
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(path)
            if not system.exists(root):
                raise DataError(_missing(path, system, root))
            names = _inside(system, root) if system.isdir(root) else [root]
        except (ImportError, ValueError) as error:
            raise DataError(
                Problem(path, str(error), _ALLOWED, "correct data.path, or install what reads such addresses")
            ) from error
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error}") from error
        return cls(path, root, _format_of(path, names), tuple(names), system)

    def columns(self) -> list[str]:
        """The names of the columns, in order, repeats included.

        Raises
        ------
        DataError
            When the files cannot be read as what they are called.
        """
        return list(self.schema().names if self.format == "parquet" else self._header(self.names[0]))

    def schema(self) -> Any:
        """The Arrow schema of parquet files."""
        return self._parquet().schema

    def read_csv(self, columns: Sequence[str]) -> pd.DataFrame:
        """These columns of all CSV files, every field as text."""
        return pd.concat([self._read_csv(name, columns) for name in self.names], ignore_index=True)

    def read_parquet(self, columns: Sequence[str]) -> Any:
        """These columns of all parquet files, as an Arrow table."""
        from pyarrow import ArrowException

        table = self._parquet()
        try:
            problems = list(self._disagreements(table, columns))
            if problems:
                raise DataError(problems)
            return table.to_table(columns=list(columns))
        except (ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def head(self, rows: int) -> pd.DataFrame:
        """The first rows of the first file, all columns; CSV as text."""
        from pyarrow import ArrowException

        try:
            if self.format == "parquet":
                frame: pd.DataFrame = self._parquet().head(rows).to_pandas()
                return frame
            with self._open(self.names[0], "rt") as lines:
                return pd.read_csv(lines, nrows=rows, dtype=str, keep_default_na=False, index_col=False)
        except (ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _disagreements(self, table: Any, columns: Sequence[str]) -> Iterator[Problem]:
        """What Arrow would repair in silence: text 12 read as the number 12, a column that a file lacks."""
        first: dict[str, tuple[str, str]] = {}
        schemas = [(fragment.path, fragment.physical_schema) for fragment in table.get_fragments()]
        inside = {name for _, schema in schemas for name in schema.names}
        for path, schema in schemas:
            # columns of the folders' names (key=value) stand in no file
            for column in (name for name in columns if name in inside):
                if column not in schema.names:
                    having = next(other for other, has in schemas if column in has.names)
                    yield _lacking(path, column, having)
                    continue
                kind = schema.field(column).type
                family = _family(kind)
                if family == "null":
                    continue
                before, place = first.setdefault(column, (family, path))
                if before != family:
                    yield Problem(
                        column,
                        f"{kind} in {path}, {before} in {place}",
                        "one type in all files",
                        "write all files with the same types",
                    )

    def _parquet(self) -> Any:
        import pyarrow.dataset as dataset
        from pyarrow import ArrowException

        try:
            return dataset.dataset(
                self.root,
                format="parquet",
                partitioning="hive",
                filesystem=self.system,
                exclude_invalid_files=False,
            )
        except (ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _header(self, name: str) -> list[str]:
        try:
            with self._open(name, "rt") as lines:
                return next(csv.reader(lines), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._unreadable(error) from error

    def _read_csv(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        import pyarrow as pa
        from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

        header = self._header(name)
        lacking = [column for column in columns if column not in header]
        if lacking:
            raise DataError([_lacking(name, column, self.names[0]) for column in lacking])
        if not columns:
            return pd.DataFrame()
        # Arrow and not pandas: pandas drops the end of a row that has more fields than the header, so
        # that 1,5 is read as 1.
        try:
            with self._open(name, "rb") as source:
                table = read_csv(
                    source,
                    ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
                    ParseOptions(newlines_in_values=True),
                    ConvertOptions(
                        column_types=dict.fromkeys(columns, pa.string()),
                        include_columns=list(columns),
                        strings_can_be_null=False,
                        quoted_strings_can_be_null=False,
                    ),
                )
        except pa.ArrowException as error:
            raise self._unreadable(error) from error
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def _open(self, name: str, mode: Literal["rt", "rb"]) -> IO[Any]:
        import fsspec

        opened = fsspec.core.OpenFile(
            self.system, name, mode=mode, compression=_compression(name), encoding="utf-8-sig", newline=""
        )
        return opened.open()  # type: ignore[no-any-return]

    def _unreadable(self, error: Exception) -> DataError:
        is_coding = isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error)
        hint = "save it as UTF-8" if is_coding else "check the file"
        return DataError(
            Problem(self.path, f"a file that cannot be read as {self.format} ({error})", _ALLOWED, hint)
        )


def _family(kind: Any) -> str:
    """What an Arrow type holds: types of one family can be read as one column without a loss."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _family(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with a time zone"
    return str(kind)


def _lacking(name: str, column: str, first: str) -> Problem:
    return Problem(
        name, f"no column {column!r}", f"the columns of {first}", "give all files the same columns"
    )


def _missing(path: str, system: Any, root: str) -> Problem:
    folder, _, name = root.rstrip("/").rpartition("/")
    try:
        beside = [
            str(entry).rstrip("/").rpartition("/")[2] for entry in system.ls(folder or "/", detail=False)
        ]
    except OSError:
        return Problem(path, "no such file, and no such folder", _ALLOWED, "correct data.path")
    near = nearest(name, beside)
    return Problem(
        path,
        f"no such file in {folder or '/'}",
        _ALLOWED,
        f"did you mean {near!r}?" if near else "correct data.path",
    )


def _inside(system: Any, root: str) -> list[str]:
    """The data files below a folder; names that start with a dot or an underscore are not data."""
    names = []
    for name in sorted(system.find(root)):
        inside = name[len(root) :].strip("/").split("/")
        if not any(part.startswith((".", "_")) for part in inside):
            names.append(name)
    return names


def _format_of(path: str, names: Sequence[str]) -> Literal["parquet", "csv"]:
    parquet = [name for name in names if name.lower().endswith(_PARQUET)]
    text = [name for name in names if name.lower().endswith(_CSV)]
    other = [name for name in names if name not in parquet and name not in text]
    if not names:
        raise DataError(Problem(path, "a folder without data files", _ALLOWED, "correct data.path"))
    if other:
        shown = ", ".join(name.rpartition("/")[2] for name in other[:3])
        raise DataError(
            Problem(path, f"files of an unknown kind ({shown})", _ALLOWED, "convert or remove them")
        )
    if parquet and text:
        raise DataError(
            Problem(path, "parquet and csv files in one folder", "one kind", "remove one of them")
        )
    return "parquet" if parquet else "csv"


def _compression(name: str) -> str | None:
    return {"gz": "gzip", "bz2": "bz2", "xz": "xz", "zst": "zstd"}.get(name.lower().rpartition(".")[2])
