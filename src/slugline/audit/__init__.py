"""Whether documents have the right topics, and what else is wrong with them."""
