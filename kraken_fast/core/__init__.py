"""Everything compiled and nothing else. It knows no event loop and does no I/O."""
