"""A front door: models behind HTTP, and a page for people."""
