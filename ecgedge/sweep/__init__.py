"""Sweeps: models trained on several data sets with several seeds, converted and scored; nothing is timed."""
