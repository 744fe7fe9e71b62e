"""Files and text from and for outside: opened without following links, written whole, read strictly, escaped."""
