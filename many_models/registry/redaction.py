"""Texts without the credentials that stood in them."""

from __future__ import annotations

import re

_HIDDEN = "***"
_SECRET_NAME = r"[\w.\-]*(?:token|sig|signature|key|password|passwd|pwd|secret|credential|auth)[\w.\-]*"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://user:password@host; a password may hold an @ of its own.
    (re.compile(r"(?<=://)[^/\s'\"]*@"), f"{_HIDDEN}@"),
    # ?token=…, &sig=…, password=… in a connection string.
    (re.compile(rf"(?i)(?<![\w.\-])({_SECRET_NAME}\s*=\s*)[^&;\s'\",)]+"), rf"\g<1>{_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=\-]{6,}"), rf"\g<1> {_HIDDEN}"),
    (re.compile(r"\bdapi[0-9a-f]{16,}(?:-\d+)?\b"), _HIDDEN),
)


def redact(text: str) -> str:
    """`text` with passwords in URIs, query tokens and authorisation headers replaced by `***`."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
