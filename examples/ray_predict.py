"""Topics for a Ray data set, by a saved model: ray_predict.py MODEL IN.parquet OUT.parquet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from slugline.prediction.cluster import predict_frame
from slugline.prediction.model_copy import ModelCopy

if TYPE_CHECKING:
    import pandas as pd
    from ray import ObjectRef
    from ray.data import Dataset


class Topics:
    """An actor that answers batches: each worker process makes one, which loads the model once."""

    def __init__(self, shipped: ObjectRef, text: str) -> None:
        import ray

        self._model: ModelCopy = ray.get(shipped)
        self._text = text

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Return the batch with topic and probability, or topics and probabilities."""
        answers = predict_frame(self._model, batch, self._text)
        return batch.assign(**{name: answers[name] for name in answers.columns[:2]})


def predict(data: Dataset, model: str, text: str = "text", n_workers: int = 2) -> Dataset:
    """Return the data set with two more columns, topic and probability, or several of each.

    Both are missing where there is no text. Slugline must be installed on all machines; the model
    travels to each once, through Ray's object store.
    """
    import ray
    from ray.data import ActorPoolStrategy

    return data.map_batches(
        Topics,
        fn_constructor_args=(ray.put(ModelCopy.from_model(model)), text),
        batch_format="pandas",
        batch_size=4096,
        compute=ActorPoolStrategy(size=n_workers),
    )


def main() -> None:
    """Read a folder of Parquet, and write another one."""
    import ray

    model, source, target = sys.argv[1:]
    predict(ray.data.read_parquet(source), model).write_parquet(target)


if __name__ == "__main__":
    main()
