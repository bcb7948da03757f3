"""Paths that the user gives."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from methods.errors import UserError

# Of a longer path a message shows the beginning and the end.
_SHOWN = 60


def given_path(option: str, given: str | PathLike[str], home: bool = False) -> Path:
    """A path that the user gave, once the file system was asked about it. There need not be anything.

    Args:
        option: with which it was given, for the message.
        given: the path.
        home: whether `~` stands for the user's home folder.

    Raises:
        UserError: it can be no path here: too long, a character that is not allowed, or a folder that may not be read.
    """
    try:
        str(given).encode()
        path = Path(given).expanduser() if home else Path(given)
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except UnicodeEncodeError:
        reason = "it is not text in UTF-8"
    except (ValueError, RuntimeError) as error:
        # A NUL character; or no home folder.
        reason = str(error)
    except OSError as error:
        reason = str(error.strerror)
    else:
        return path
    text = ascii(str(given))[1:-1] if not str(given).isprintable() else str(given)
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"
    raise UserError(f"{option}: {text} cannot be used as a path ({reason}); give another one")
