"""Benchmarks, each a command: `python -m benchmarks.NAME --help`."""

import os

# As the command line does (see ssgan_cli.app.main), before torch is imported: threads that spin while they wait make
# figures on a busy machine worthless.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
