"""Fingerprints of canonical frames: whether what was trained on is still what lies there."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pandas as pd

MARK_BYTES = 16
"""Bytes of a fingerprint."""


def fingerprint(frame: pd.DataFrame) -> bytes:
    """The 16-byte fingerprint of a canonical frame: its columns, their values, their order."""
    state = blake2b(digest_size=MARK_BYTES)
    for name in frame.columns:
        values = frame[name].to_numpy()
        state.update(f"\x1e{name}\x1e".encode())
        if values.dtype.kind == "f":
            # one bit pattern for what is missing
            state.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
        elif values.dtype.kind in "iub":
            state.update(values.astype("<i8").tobytes())
        else:
            state.update("\x1f".join(map(repr, values.tolist())).encode("utf-8", "surrogatepass"))
    return state.digest()


def observed_span(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Canonical times of the first and the last row with a target; None where there is none."""
    t = frame["t"].to_numpy()[np.isfinite(frame["y"].to_numpy(dtype=np.float64))]
    return (int(t.min()), int(t.max())) if t.size else None


def series_fingerprint(frame: pd.DataFrame, until: int) -> str:
    """The fingerprint of a series' rows up to a canonical time, as `time:hash`.

    It says what it covers, so that it can be taken again of a longer table.
    """
    inside = frame["t"].to_numpy() <= until
    rows = frame if inside.all() else frame[inside]
    return f"{until}:{fingerprint(rows).hex()}"


def covered_until(text: str) -> int | None:
    """The canonical time up to which a series' fingerprint reaches; None where it is none."""
    time, colon, _ = text.partition(":")
    try:
        return int(time) if colon else None
    except ValueError:
        return None
