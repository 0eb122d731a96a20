"""No credential survives in a message."""

from __future__ import annotations

import pytest

from many_models.registry import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:hunter2@host:5000/x", "https://***@host:5000/x"),
        ("postgresql://me:p@ss@host/db failed", "postgresql://***@host/db failed"),
        ("https://host/x?token=abc&n=1", "https://host/x?token=***&n=1"),
        (
            "https://host/x?sv=1&sig=a%2Fb&X-Amz-Signature=ff",
            "https://host/x?sv=1&sig=***&X-Amz-Signature=***",
        ),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("password=hunter2 host=h", "password=*** host=h"),
        ("dapi0123456789abcdef0123 refused", "*** refused"),
        ("no secret in mlflow.db: mail a@b.c", "no secret in mlflow.db: mail a@b.c"),
        ("http://127.0.0.1:5000/api", "http://127.0.0.1:5000/api"),
    ],
)
def test_credentials_are_replaced_and_the_rest_is_kept(text, expected):
    assert redact(text) == expected
