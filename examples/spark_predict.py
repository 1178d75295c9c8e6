"""Topics for a Spark data frame, by a saved model: spark_predict.py MODEL IN.parquet OUT.parquet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from slugline.prediction.cluster import predict_frame
from slugline.prediction.model_copy import ModelCopy

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame


def predict(frame: DataFrame, model: str, text: str = "text") -> DataFrame:
    """Return the frame with two more columns, topic and probability, or topics and probabilities.

    Both are null where there is no text. Slugline must be installed where Spark's Python workers
    run; the model travels there as a broadcast variable, and each worker process loads it once.
    """
    from pyspark.sql.types import ArrayType, DoubleType, StringType, StructField, StructType

    copy = ModelCopy.from_model(model)
    shipped = frame.sparkSession.sparkContext.broadcast(copy)
    more = [StructField("topic", StringType()), StructField("probability", DoubleType())]
    if copy.fitted().multilabel:
        more = [
            StructField("topics", ArrayType(StringType())),
            StructField("probabilities", ArrayType(DoubleType())),
        ]
    names = [field.name for field in more]

    def with_topics(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            answers = predict_frame(shipped.value, batch, text)
            # Arrow writes None as null, and NaN as a number.
            answers = answers.astype(object).where(answers.notna(), None)
            yield batch.assign(**{name: answers[name] for name in names})

    return frame.mapInPandas(with_topics, StructType([*frame.schema.fields, *more]))


def main() -> None:
    """Read a folder of Parquet, and write another one."""
    from pyspark.sql import SparkSession

    model, source, target = sys.argv[1:]
    spark = SparkSession.builder.appName("topics").getOrCreate()
    predict(spark.read.parquet(source), model).write.parquet(target)
    spark.stop()


if __name__ == "__main__":
    main()
