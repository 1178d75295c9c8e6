"""Texts to weighted rows: words, terms made of them, their columns, and what each counts."""
