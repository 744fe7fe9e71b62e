"""``python -m ecgedge``."""

from ecgedge.cli import main

main()
