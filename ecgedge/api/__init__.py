"""What plugin authors build on: the hooks, parts and their sessions, artifacts and what they hold."""
