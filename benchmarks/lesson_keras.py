"""The newswire lesson's own steps in Keras, as in its notebook, for 8 epochs."""

import json
import time

import numpy as np
from keras import layers, models
from keras.datasets import reuters
from keras.utils import to_categorical


def vectorize_sequences(sequences, dimension=10000):
    """Return lists of word numbers as dense rows of zeros and ones, like the notebook."""
    results = np.zeros((len(sequences), dimension))
    for i, sequence in enumerate(sequences):
        results[i, sequence] = 1.0
    return results


(train_data, train_labels), (test_data, test_labels) = reuters.load_data(num_words=10000)
x_train = vectorize_sequences(train_data)
x_test = vectorize_sequences(test_data)
y_train = to_categorical(train_labels)
y_test = to_categorical(test_labels)

model = models.Sequential(
    [
        layers.Dense(64, activation="relu"),
        layers.Dense(64, activation="relu"),
        layers.Dense(46, activation="softmax"),
    ]
)
model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
started = time.perf_counter()
model.fit(
    x_train[1000:],
    y_train[1000:],
    epochs=8,
    batch_size=512,
    validation_data=(x_train[:1000], y_train[:1000]),
    verbose=0,
)
fit_seconds = time.perf_counter() - started
accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
print(json.dumps({"fit_seconds": fit_seconds, "test_accuracy": float(accuracy)}))
