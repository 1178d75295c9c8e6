"""The classic newswire lesson, step by step, and the results that it printed."""
