from collections.abc import Callable

class MessageSink: ...

class PySink(MessageSink):
    def __init__(
        self,
        on_text: Callable[[bytes, int], object],
        on_binary: Callable[[bytes, int], object] | None = None,
    ) -> None: ...
