"""Where a worker runs: in this interpreter, or in a plugin's environment."""
