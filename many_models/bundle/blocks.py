"""Files that are verified block by block while they are read.

A bundle of 100,000 models is too large to hash as a whole for one lookup. So each file has a
checksum per block of 64 KiB, and a reader hands out no byte of a block that it has not verified:
a flipped byte is found by whoever reads it, and Parquet's own readers never see it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from many_models.errors import DamagedError, StorageError

BLOCK_BYTES = 64 * 2**10
CHECKSUM_BYTES = 16


def checksum(data: bytes) -> bytes:
    """The checksum of one block: blake2b, 16 bytes."""
    return blake2b(data, digest_size=CHECKSUM_BYTES).digest()


def checksums(path: Path) -> bytes:
    """The checksums of the blocks of a file, one after the other."""
    with path.open("rb") as file:
        return b"".join(checksum(block) for block in iter(lambda: file.read(BLOCK_BYTES), b""))


class VerifiedFile(io.RawIOBase):
    """A file open for reading, whose bytes were all verified before they are handed out.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it: its path within the bundle.
    size
        How many bytes it must have.
    expected
        The checksums of its blocks.

    Raises
    ------
    DamagedError
        Here when the size is wrong, from `read` when a block is not what was written.
    StorageError
        When the file cannot be opened.
    """

    def __init__(self, path: Path, name: str, size: int, expected: bytes) -> None:
        super().__init__()
        self._name = name
        self._size = size
        self._expected = expected
        self._verified: set[int] = set()
        self._position = 0
        try:
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise DamagedError(f"a bundle is damaged: its file {name} is missing") from None
        except OSError as error:
            raise StorageError(f"the bundle file {path} cannot be read: {error.strerror or error}") from error
        found = os.fstat(self._file.fileno()).st_size
        if found != size:
            self._file.close()
            raise DamagedError(f"a bundle is damaged: {name} has {found} bytes instead of {size}")

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes (all that are left without it), verified."""
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._range(self._position, wanted)
        self._position += wanted
        return data

    def readall(self) -> bytes:
        """All bytes that are left, verified."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """How many verified bytes were written into `buffer`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()

    def _range(self, start: int, length: int) -> bytes:
        if length == 0:
            return b""
        first, last = start // BLOCK_BYTES, (start + length - 1) // BLOCK_BYTES
        if all(block in self._verified for block in range(first, last + 1)):
            return self._bytes(start, length)
        base = first * BLOCK_BYTES
        data = self._bytes(base, min(self._size, (last + 1) * BLOCK_BYTES) - base)
        for block in range(first, last + 1):
            self._verify(block, data[(block - first) * BLOCK_BYTES : (block - first + 1) * BLOCK_BYTES])
        return data[start - base : start - base + length]

    def _bytes(self, start: int, length: int) -> bytes:
        try:
            data = os.pread(self._file.fileno(), length, start)
        except OSError as error:
            raise StorageError(f"the bundle file {self._name} cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise DamagedError(f"a bundle is damaged: {self._name} ends before its byte {start + length}")
        return data

    def _verify(self, block: int, data: bytes) -> None:
        expected = self._expected[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]
        if checksum(data) != expected:
            start = block * BLOCK_BYTES
            raise DamagedError(
                f"a bundle is damaged: {self._name}, bytes {start} to {start + len(data) - 1}, "
                "are not what was written"
            )
        self._verified.add(block)


Opener = Callable[[str], "str | Path"]
"""Relative path within the bundle -> a local file that holds it (downloaded where necessary)."""
