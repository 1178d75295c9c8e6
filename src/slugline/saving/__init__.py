"""One safe file in, one safe file out: the `.slug` model file."""
