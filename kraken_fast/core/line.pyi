from typing import final

from .clock import Clock

@final
class Line:
    clock: Clock
    name: str
    epoch: int
    def __init__(self, clock: Clock | None = None, *, name: str = "A", suspect_ns: int = 1_500_000_000) -> None: ...
    @property
    def last_heard_ns(self) -> int | None: ...
