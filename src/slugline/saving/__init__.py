"""One safe file in, one safe file out."""
