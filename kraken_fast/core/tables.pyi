"""Tables of the scanner; nothing of them is visible from Python."""
