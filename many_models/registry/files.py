"""The files of a registered version: in place where they are local, else fetched one by one."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from many_models.errors import DamagedError


class StoredFiles:
    """A function from a path within the folder to a local file; each file is fetched once.

    What was fetched lies in a temporary folder that goes when this object goes.

    Attributes
    ----------
    folder
        The folder itself where it is local and used in place, else None.
    """

    def __init__(self, folder: Path | None, fetch: Callable[[str, Path], Path] | None = None) -> None:
        self.folder = folder
        self._fetch = fetch
        self._lock = threading.Lock()
        self._local: dict[str, Path] = {}
        self._cache: Path | None = None

    def __call__(self, path: str) -> Path:
        """The local file for a path within the folder; it may not exist where the folder is local.

        Raises
        ------
        DamagedError
            When the path would leave the folder.
        RegistryError
            When the file cannot be fetched.
        """
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or PurePosixPath(path).is_absolute() or "\\" in path:
            raise DamagedError(f"a stored path would leave its folder: {path!r}")
        if self.folder is not None or self._fetch is None:
            return (self.folder or Path()) / path
        with self._lock:
            if path not in self._local:
                self._local[path] = self._fetch(path, self._cache_folder() / str(len(self._local)))
            return self._local[path]

    def below(self, prefix: str) -> StoredFiles:
        """The files of a folder within this one."""
        if self.folder is not None:
            return StoredFiles(self.folder / prefix)
        return StoredFiles(None, lambda path, into: self(f"{prefix}/{path}"))

    def _cache_folder(self) -> Path:
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="many-models-"))
            weakref.finalize(self, shutil.rmtree, self._cache, ignore_errors=True)
        return self._cache
