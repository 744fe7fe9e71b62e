"""Where downloads, artifacts and environments are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``ECGEDGE_CACHE``, or the platform's user cache."""
    import platformdirs  # here, since most calls need no cache

    return Path(os.environ.get("ECGEDGE_CACHE") or platformdirs.user_cache_dir("ecgedge", appauthor=False))
