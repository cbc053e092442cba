"""Streams that need a token: executions and balances of an account, and level 3.

`session` keeps the private line subscribed, `account_state` puts fills in order with what REST knows (`reconcile` what
is missing, `recovery` asks for it, `lookup` for lost orders, `holds` for what orders hold), `account` is the face.
"""
