"""Turns texts into weighted rows: words, terms made of them, their columns and weights."""
