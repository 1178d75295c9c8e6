"""The Reuters newswires of 1987: Keras' sequences, their texts, and a corrected edition.

`load_data`, `get_word_index`, `topic_names` and `decode` read Keras' files. `load_wires` reads
Reuters-21578, the source of these files, and returns the same 11,228 wires in the same order and
split. For 975 wires, Keras' file contains another wire's text; docs/explanation/reuters.md explains
why.
"""

from slugline.reuters.sequences import decode, get_word_index, load_data, topic_names
from slugline.reuters.wires import Edition, Wire, WireList, Wires, load_wires

__all__ = [
    "Edition",
    "Wire",
    "WireList",
    "Wires",
    "decode",
    "get_word_index",
    "load_data",
    "load_wires",
    "topic_names",
]
