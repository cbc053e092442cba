"""The signature of a private REST call: the box's own implementation, independent of the client's.

Source: https://docs.kraken.com/api/docs/guides/spot-rest-auth, read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac


def sign(secret: str, path: str, nonce: str, body: bytes) -> str:
    """Compute `API-Sign`.

    >>> sign("AAAA", "/0/private/Balance", "1", b"nonce=1")[:20]
    'uWJrDtq+nW0NaI80OcOL'
    """
    inner = hashlib.sha256(nonce.encode(errors="replace") + body).digest()
    mac = hmac.new(base64.b64decode(secret), path.encode() + inner, hashlib.sha512)
    return base64.b64encode(mac.digest()).decode()


def is_base64(text: str) -> bool:
    """Tell whether a secret can be decoded."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
