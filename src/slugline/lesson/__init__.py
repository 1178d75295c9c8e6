"""The classic newswire lesson, step by step, with the results that it gave."""
