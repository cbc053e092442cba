"""Benches: what the promised figures are measured with. See README.md."""
