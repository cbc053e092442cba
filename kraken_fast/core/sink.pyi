from collections.abc import Callable

from typing_extensions import disjoint_base

@disjoint_base
class MessageSink: ...

@disjoint_base
class PySink(MessageSink):
    def __init__(
        self,
        on_text: Callable[[bytes, int], object],
        on_binary: Callable[[bytes, int], object] | None = None,
    ) -> None: ...
