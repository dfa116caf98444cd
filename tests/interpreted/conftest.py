"""Kernels run by Triton's interpreter, which is asked for before Triton is imported."""

import os

if os.environ.get("TRITON_INTERPRET") != "1":  # ``make test`` runs this folder on its own
    collect_ignore_glob = ["test_*.py"]
