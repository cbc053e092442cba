from typing import final

from ..types import Quality
from .line import Line
from .queues import Level3

@final
class Level3Book(Level3):
    line: Line
    messages: int
    verified: int
    mismatched: int
    dropped: int
    strays: int
    def __init__(
        self,
        symbol: str,
        depth: int = 10,
        *,
        line: Line | None = None,
        price_scale: int = -1,
        qty_scale: int = -1,
        portable: bool = False,
    ) -> None: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def age_ms(self) -> float | None: ...
    @property
    def source(self) -> str: ...
    @property
    def queues_go_by_time(self) -> bool: ...
    def snapshot(self) -> Level3Snapshot: ...
    def invalidate(self) -> None: ...
    def await_snapshot(self) -> None: ...
    def give_up_verifying(self) -> None: ...

@final
class Level3Snapshot(Level3):
    quality: Quality
    age_ms: float | None
    source: str
