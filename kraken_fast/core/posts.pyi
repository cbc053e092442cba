from typing import Literal, final

from .line import Line

VERDICTS: tuple[str, ...]

@final
class Seat:
    line: Line
    name: str
    place: int
    placed: bool
    waits: bool
    said: int
    said_ns: int
    lag_ns: int
    begun_ns: int
    odd: int
    def __init__(self, line: Line) -> None: ...
    @property
    def is_serving(self) -> bool: ...

@final
class Post:
    channel: str
    symbol: str
    interval: int
    count: int
    due: int
    copies: int
    repeats: int
    late: int
    odd: int
    news_ns: int
    seats: list[Seat]
    def __init__(self, channel: str, symbol: str, interval: int = 0) -> None: ...
    def sit(self, seat: Seat) -> Seat: ...
    def offer(
        self, seat: Seat, at: int | None, content: int, *, begins: bool = False, recv_ns: int = 1
    ) -> Literal["news", "copy", "repeat", "late", "odd", "wait"]: ...
