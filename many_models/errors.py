"""The tree of errors. Every message says where, what was found, what is allowed and what to do.

::

    ManyModelsError                 exit 1
    ├── InputError                  exit 2   the user's input is wrong; carries every problem found
    │   ├── SpecError                        the configuration
    │   ├── DataError                        the table: columns, types, keys, time
    │   └── LookupFailed                     a model, version, run or key that does not exist
    ├── OutsideError                exit 4   something outside failed; finished work is kept
    │   ├── RegistryError                    the MLflow server or its artifact store
    │   ├── EngineError                      the Spark cluster, or the pool of local workers
    │   ├── StorageError                     a disk or a folder
    │   └── DamagedError                     stored bytes that fail their checksum or bounds
    ├── LearnerError                         one candidate on one series; never leaves the group function
    └── Cancelled                   exit 130
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the user's input.

    Parameters
    ----------
    where : str
        Dotted path of the setting, name of the column, or path of the file.
    found : str
        What stands there.
    allowed : str
        What may stand there.
    action : str
        What to do about it.
    """

    where: str
    found: str
    allowed: str = ""
    action: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: found {self.found}"]
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.action:
            parts.append(f"do: {self.action}")
        return "; ".join(parts)


class ManyModelsError(Exception):
    """The root of all errors that this package raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(ManyModelsError):
    """The user's input is wrong; `problems` holds everything that was found at once."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class SpecError(InputError):
    """The configuration is wrong."""


class DataError(InputError):
    """The table is wrong: a column, a type, a key or a time."""


class LookupFailed(InputError):
    """A model, version, run directory or key that was asked for does not exist."""


class OutsideError(ManyModelsError):
    """Something outside the program failed; `continue_with` is the command that goes on."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, continue_with: str = "") -> None:
        self.message = message
        self.continue_with = continue_with
        super().__init__(f"{message}\nto continue: {continue_with}" if continue_with else message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.continue_with)


class RegistryError(OutsideError):
    """The model registry or its artifact store does not answer, or refuses."""


class EngineError(OutsideError):
    """The Spark cluster or the pool of local workers failed as a whole."""


class StorageError(OutsideError):
    """A folder cannot be read or written."""


class DamagedError(OutsideError):
    """Stored bytes are not what was written: wrong checksum, version, size or form."""


class LearnerError(ManyModelsError):
    """A candidate cannot be fitted on this series, or its forecast is invalid; `code` is stable."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}" if message else code)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message)


class Cancelled(ManyModelsError):
    """The user stopped the command."""

    exit_code: ClassVar[int] = 130


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that is most like `word`, or None where nothing is near."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    if not known:
        return None
    # A slip of the fingers first (tiem is time, not timezone), then a part of a longer word.
    fold = str.casefold
    found = process.extractOne(
        word, known, scorer=OSA.normalized_similarity, processor=fold, score_cutoff=0.6
    ) or process.extractOne(word, known, processor=fold, score_cutoff=60)
    return None if found is None else str(found[0])
