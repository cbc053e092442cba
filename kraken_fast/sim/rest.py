"""The REST API without I/O: a request in, a response out.

Kraken answers refusals with status 200 and an error list. Public calls are read with GET, private ones are
posted; see `public.py` and `private.py` for what they answer, `gate.py` for who may ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .public import PublicApi
from .refusals import RestError
from .rest_faults import Response, spoiled

if TYPE_CHECKING:
    from .core import ExchangeCore


class RestApi:
    """All endpoints of one exchange.

    Args:
        core: the exchange.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._public = PublicApi(core)

    def handle(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str], address: str
    ) -> Response:
        """Answer one request.

        Args:
            method: of HTTP. Public endpoints are read with GET; POST has not worked on them since 2024.
            path: such as /0/public/Time.
            query: of the URL, undecoded.
            body: of a private call.
            headers: by lower-case name.
            address: of the caller.
        """
        name = path.rpartition("/")[2]
        return spoiled(
            self._core.faults, name, lambda: self._carry_out(method, path, query, body, headers, address)
        )

    def _carry_out(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str], address: str
    ) -> Response:
        try:
            if path.startswith("/0/private/"):
                result = self._private(method, path, body, headers, address)
            else:
                result = self._public_result(method, path, query)
        except RestError as error:
            return _json({"error": [str(error)]})
        if isinstance(result, bytes):
            return Response(result, headers={"Content-Type": "application/zip"})
        return _json({"error": [], "result": result})

    def _private(self, method: str, path: str, body: bytes, headers: Mapping[str, str], address: str) -> Any:
        if method != "POST":
            raise RestError("EGeneral:Unknown method")
        return self._core.private.handle(path, body, headers, address)

    def _public_result(self, method: str, path: str, query: str) -> Any:
        prefix, _, name = path.rpartition("/")
        endpoint = self._public.endpoints.get(name)
        if prefix != "/0/public" or endpoint is None or method != "GET":
            raise RestError("EGeneral:Unknown method")
        return endpoint(dict(parse_qsl(query, keep_blank_values=True)))


def _json(answer: Mapping[str, Any]) -> Response:
    return Response(json.dumps(answer, separators=(",", ":")).encode())
