"""The REST side: `endpoints` are the typed methods, `client` the machine behind them, `answers` what they return.

From a call to its answer: `endpoints` -> `client` -> `limits` (may it be sent?) -> `sender` -> `request` (its bytes,
signed) -> `http` (the only module that knows aiohttp) -> `envelope` (result or error) -> `answers` (typed records).
"""
