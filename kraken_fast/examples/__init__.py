"""Small programs to begin with. Each is run against the exchange in a box by the tests."""
