"""Which arrays of a file are what: scores, labels, weights, splits; and which columns are the classes."""
