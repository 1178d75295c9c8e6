"""One experiment: labelled texts in, a classifier and what to know of it out."""
