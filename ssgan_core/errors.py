"""The one exception type whose message is meant for the user of a command."""

from __future__ import annotations


class SsganError(Exception):
    """Something the user can mend: a bad file, an impossible option, a missing weight.

    The command line prints `message` on one line and `hint` under it, without a traceback, and exits
    with 1. Anything else that is raised is a bug and keeps its traceback.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
