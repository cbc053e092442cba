"""A refusal in Kraken's words."""

from __future__ import annotations


class RestError(Exception):
    """An error in Kraken's words, which stands in the answer's `error` list."""
