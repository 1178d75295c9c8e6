"""The newswire lesson's own steps in Slugline, for 8 epochs."""

import json
import time

from slugline import Dense, Network, reuters
from slugline.corpus.documents import one_hot
from slugline.text.sparse import multi_hot

(train_data, train_labels), (test_data, test_labels) = reuters.load_data(num_words=10_000)
x_train = multi_hot(train_data, 10_000)
x_test = multi_hot(test_data, 10_000)
y_train = one_hot(train_labels)
y_test = one_hot(test_labels)

model = Network(
    [Dense(64, "relu"), Dense(64, "relu"), Dense(46, "softmax")],
    optimizer="rmsprop",
    loss="categorical_crossentropy",
)
started = time.perf_counter()
model.fit(
    x_train[1000:],
    y_train[1000:],
    epochs=8,
    batch_size=512,
    validation_data=(x_train[:1000], y_train[:1000]),
)
fit_seconds = time.perf_counter() - started
accuracy = model.evaluate(x_test, y_test).accuracy
print(json.dumps({"fit_seconds": fit_seconds, "test_accuracy": accuracy}))
