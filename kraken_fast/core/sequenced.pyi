from typing_extensions import disjoint_base

from .line import Line

@disjoint_base
class Sequenced:
    line: Line
    channel: str
    messages: int
    gaps: int
    def __init__(self, channel: str, line: Line) -> None: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def expected_sequence(self) -> int: ...
    @property
    def quality(self) -> str: ...
    @property
    def age_ms(self) -> float | None: ...
    @property
    def source(self) -> str: ...
