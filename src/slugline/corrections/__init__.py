"""Answers that people said were wrong, with the right topic: kept, and learned from."""
