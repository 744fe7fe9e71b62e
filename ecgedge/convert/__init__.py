"""From a cell to its artifact: the store and its keys, checkpoints, the converter."""
