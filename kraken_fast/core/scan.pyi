from typing import final

@final
class Scanner: ...
