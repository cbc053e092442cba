"""Identifiers in Kraken's forms, drawn from a seed: orders O, trades and amends T, ledger entries L."""

from __future__ import annotations

import hashlib
import random

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def spell(prefix: str, bits: int) -> str:
    """Write 80 bits as the sixteen characters of an id, which has 19 with its letter and dashes.

    >>> spell("O", 0)
    'OAAAAA-AAAAA-AAAAAA'
    """
    text = prefix + "".join(ALPHABET[bits >> shift & 31] for shift in range(75, -1, -5))
    return f"{text[:6]}-{text[6:11]}-{text[11:]}"


def derived(prefix: str, *facts: object) -> str:
    """Give the id that belongs to these facts: the crowd's orders have one without drawing chance."""
    digest = hashlib.sha256("/".join(map(str, facts)).encode()).digest()
    return spell(prefix, int.from_bytes(digest[:10], "big"))


class Ids:
    """Draws ids. Eighty bits do not repeat in the life of a box.

    Args:
        rng: where they come from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self, prefix: str) -> str:
        """Draw an id."""
        return spell(prefix, self._rng.getrandbits(80))
