"""The one error of this package."""


class ExplorerError(ValueError):
    """Something that cannot be shown; the message is one line that says what to do."""
