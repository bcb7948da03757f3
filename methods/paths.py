"""Paths that the user gives."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from methods.errors import UserError

# A message shows only the beginning and the end of a longer path.
_SHOWN = 60


def given_path(option: str, given: str | PathLike[str], home: bool = False) -> Path:
    """A path that the user gave, after a check that the file system accepts it. Nothing need exist there.

    Args:
        option: the option that gave it, for the message.
        given: the path.
        home: whether `~` stands for the user's home folder.

    Raises:
        UserError: it cannot be a path here: it is too long, has a forbidden character, or is in a folder that may not
            be read.
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
