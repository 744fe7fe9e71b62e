"""What commands import that read records, tables and keys, once for all that are forked: see ``forking.py``."""

import contextlib
import importlib

LIBRARIES = (
    "cryptography.hazmat.primitives.asymmetric.ed25519", "pyarrow.parquet", "pyedflib", "scipy.io.arff", "scipy.signal",
    "scipy.stats", "wfdb.processing",
)  # fmt: skip

for name in LIBRARIES:
    with contextlib.suppress(ImportError):  # who needs it is skipped
        importlib.import_module(name)
