"""Order entry: an order is on the wire at most once, and what became of it is found out, not guessed.

`entry` is the face, `engine` the one loop callback behind it, `table` what is known of every order, `journal` what a
crash must not forget, `resolution` when an unknown outcome counts as known. `watchdog` and `deadman` are for silence.
"""
