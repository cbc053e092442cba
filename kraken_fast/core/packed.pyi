from decimal import Decimal
from typing import final

from typing_extensions import disjoint_base

@disjoint_base
class Packed:
    snapshot: bool
    recovered: bool
    @property
    def sequence(self) -> int | None: ...

@disjoint_base
class Fields: ...

@final
class Ring:
    def __new__(cls, size: int) -> Ring: ...

def as_decimal(name: str, value: Decimal | int) -> Decimal: ...
def as_integer(name: str, value: int) -> int: ...
