from typing import final

from typing_extensions import Buffer

from .stores import Stores

@final
class Decoder(Stores):
    def feed(self, message: Buffer, *, recv_ns: int | None = None, strict: bool = False) -> bool: ...
    def feed_all(self, messages: list[bytes], *, recv_ns: int | None = None) -> int: ...
