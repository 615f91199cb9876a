"""The errors that a user can mend; the command line prints each as one line and exits with status 2."""


class UserError(ValueError):
    """Bad input: a parameter, a data set, a record or a checkpoint. The message is one line."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the one line, not the way that led to it."""
        return [f"{type(self).__name__}: {self}"]
