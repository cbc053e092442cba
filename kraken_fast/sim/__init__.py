"""An exchange in a box: Kraken's side of the wire, for tests of this package and of your bot."""

from __future__ import annotations

from .reference import ReferenceBook

__all__ = ["ReferenceBook"]
