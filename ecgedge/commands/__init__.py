"""What a command does, as functions that scripts call too: a module for each; they print nothing."""
