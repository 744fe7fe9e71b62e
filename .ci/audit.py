"""Ask pip-audit whether what the locks pin has known vulnerabilities; exit code 1: some have.

Where nobody can be asked, as without a network, it says so in one line and exits with 0: that is no finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Audit the locks that are named, or all; returns the exit code."""
    locks = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "locks").glob("*.txt"))
    return max([audit(lock) for lock in locks])


def audit(lock: Path) -> int:
    """Print what is known of the packages of one lock; returns 1 where something is."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--timeout", "15", "--format", "json"]
    command += ["--disable-pip", "--no-deps", "--requirement", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{lock.name}: not audited, pip-audit could not ask: {last[:200]}")
        return 0
    asked = [package for package in packages if "skip_reason" not in package]
    found = [(package, one) for package in asked for one in package["vulns"]]
    for package, one in found:
        mended = ", ".join(one["fix_versions"]) or "no version"
        print(f"{lock.name}: {package['name']} {package['version']}: {one['id']}, mended in {mended}")
    if not asked:
        print(f"{lock.name}: not audited: the advisory service knows none of its {len(packages)} packages from here")
        return 0
    unasked = f", {len(packages) - len(asked)} could not be asked for" if len(asked) < len(packages) else ""
    print(f"{lock.name}: {len(asked)} packages audited, {len(found)} vulnerabilities known{unasked}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
