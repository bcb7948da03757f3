"""What a user sees as a sentence: the one exception without a traceback, and the one warning without a line number."""


class UserError(Exception):
    """Input that cannot be used.

    The message is one sentence: the option or file, what is wrong with it, and what would be right. The command line
    prints it and exits with status 2, before anything trains.
    """


class Notice(UserWarning):
    """Something that the user should know. The command line prints it as a line that begins with `warning:`."""


def cannot(method: str, why: str, instead: str = "leave the method out") -> str:
    """Say that a method cannot be used on a backbone.

    Args:
        method: its name.
        why: what it needs, and what the backbone has.
        instead: what would be right.
    """
    return f"{method} cannot be used on this backbone: {why}; {instead}"


def first_line(error: BaseException) -> str:
    """What another library says is wrong, to put into a sentence: the exception's type and first line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
