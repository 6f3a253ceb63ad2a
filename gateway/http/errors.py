"""What is wrong with a message, told as facts; the edge that owns the connection chooses what to do about it."""


class MessageError(Exception):
    """A message that breaks the grammar or a size. ``status`` is the answer that a client's request deserves.

    An upstream's answer that raises this is a 502 whatever ``status`` says.
    """

    def __init__(self, detail: str, status: int = 400, code: str = "malformed") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
