"""One reader over several sources: hot lines first, REST when no line can serve, the truth about both always.

`coordinator` is the face, `lines` the hot lines, `reader` chooses a source at the moment of reading, `fallback` asks
REST, `health` and `validate` judge the sources, `delivery` tells subscribers.
"""
