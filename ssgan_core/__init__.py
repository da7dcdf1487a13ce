"""3D-SSGAN: 3D-aware compositional portrait synthesis (the library behind the `ssgan` command)."""

__version__ = "0.1.0"
