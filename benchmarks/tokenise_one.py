"""Tokenises the 11,228 Reuters texts into multi-hot rows in one way, and prints the best time."""

import json
import sys
import time

from slugline import reuters
from slugline.text.vocabulary import Vocabulary

N_REPEATS = 5

way = sys.argv[1]
wires = reuters.load_wires("keras")
texts = [*wires.train.texts, *wires.test.texts]
if way == "sklearn":
    from sklearn.feature_extraction.text import CountVectorizer

    transform = CountVectorizer(binary=True, max_features=10_000).fit(texts).transform
else:
    vocabulary = Vocabulary.fit(texts, 10_000)

    def transform(texts):
        """Return 1 for each word that a text contains."""
        X = vocabulary.transform(texts, n_threads=int(way))
        X.data[:] = 1
        return X


seconds = []
for _ in range(N_REPEATS):
    started = time.perf_counter()
    X = transform(texts)
    seconds.append(time.perf_counter() - started)
print(
    json.dumps(
        {
            "seconds": min(seconds),
            "megabytes": sum(len(t.encode()) for t in texts) / 1e6,
            "nnz": X.nnz,
        }
    )
)
