"""Learning from more documents than fit into memory, in passes over blocks of rows."""
