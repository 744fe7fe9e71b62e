"""What is to be done: cells and skips from parts and filters. Pure."""
