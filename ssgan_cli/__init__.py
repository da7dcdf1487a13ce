"""The `ssgan` command line: parses arguments, calls `ssgan_core`, prints what was written."""
