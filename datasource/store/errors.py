"""The one error that the storage side raises for people to read."""


class StoreError(Exception):
    """The database cannot be reached or used; `str()` is one line, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.hint = hint
