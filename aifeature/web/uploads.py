"""Text files that users upload instead of pasting text."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile


class UnreadableFileError(ValueError):
    """The file cannot be used. The message explains why, and what the user can do."""


def text_of(file: UploadedFile[Any], *, max_bytes: int) -> str:
    """Return the file's text. It must be UTF-8, with or without a byte order mark.

    Raises:
        UnreadableFileError: The file is empty, larger than `max_bytes`, or not text.
    """
    size = file.size or 0
    if size > max_bytes:
        raise UnreadableFileError(
            f"This file has {size:,} bytes. The maximum is {max_bytes:,}. Choose a smaller file."
        )
    try:
        text = bytes(file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFileError(
            "This file is not plain text in UTF-8. Save it as a text file and choose it again."
        ) from None
    if "\0" in text:
        raise UnreadableFileError("This file is not plain text. Choose a text file.")
    if not text.strip():
        raise UnreadableFileError("This file is empty. Choose another.")
    return text
