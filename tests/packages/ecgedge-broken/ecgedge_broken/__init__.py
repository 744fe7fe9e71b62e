"""A plugin package that is broken on purpose."""
