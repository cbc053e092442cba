from typing import final

@final
class Slot:
    symbol: str
    price_scale: int
    qty_scale: int
    def __init__(self, symbol: str) -> None: ...

@final
class SymbolTable: ...
