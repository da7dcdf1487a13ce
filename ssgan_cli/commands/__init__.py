"""One module a command: parse, make one lazily imported call of the core, print. Nothing heavy at import."""
