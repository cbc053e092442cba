import os
from types import TracebackType
from typing import Literal, Self, final

from typing_extensions import disjoint_base

from .clock import Clock
from .tee import Tee

ENDINGS: tuple[str, str]
ROTATE_BYTES_MIN: int
ZSTD_LEVEL: int

def part_path(path: str | os.PathLike[str], part: int) -> str: ...

@disjoint_base
class CaptureWriter(Tee):
    path: str
    frames: int
    dropped: int
    error: OSError | None
    parts: int
    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Clock,
        *,
        name: str = "A",
        rotate_bytes: int = 0,
        compress: bool = False,
    ) -> None: ...
    def append(self, frame: bytes, recv_ns: int) -> None: ...
    def append_all(self, frames: list[bytes], recv_ns: int) -> None: ...
    def note(self, event: str, recv_ns: int, **facts: object) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...

@final
class CaptureReader:
    path: str
    offset: int
    def __init__(self, path: str | os.PathLike[str]) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[Literal["frame", "event"], int, bytes]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
