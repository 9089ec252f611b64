"""The engine: one process, one verb, a spec in, a value out."""
