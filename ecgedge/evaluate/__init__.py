"""How good an answer is, and whether a file is what it claims: quality, parity, the precision check, statistics."""
