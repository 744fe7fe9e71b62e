"""Data sets: read from files, downloaded, split, and the embedded synthetic beats."""
