"""Reasons: which words of a text speak for a topic and against it, and how much each counts.

`attribution` shares a learner's score out among the columns of a row, `spreading` shares these out
among the places in the text, and `explanation` is the value that holds the result.
"""

from __future__ import annotations

from slugline.explain.explaining import explain, known_topic
from slugline.explain.explanation import Example, Explanation, Reason, WordShare

__all__ = ["Example", "Explanation", "Reason", "WordShare", "explain", "known_topic"]
