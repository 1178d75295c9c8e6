"""Names of earlier releases that have moved; see `slugline.lazy.moved_names`."""

from slugline.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "Baselines": "slugline.lesson.results",
        "Curves": "slugline.lesson.results",
        "Data": "slugline.lesson.results",
        "Example": "slugline.lesson.results",
        "IntegerLabels": "slugline.lesson.results",
        "LESSON": "slugline.lesson.reference",
        "MultiHot": "slugline.lesson.results",
        "NotebookResult": "slugline.lesson.results",
        "OverSeeds": "slugline.lesson.results",
        "Predictions": "slugline.lesson.results",
        "Progress": "slugline.lesson.run",
        "Source": "slugline.lesson.run",
        "TopicProbability": "slugline.lesson.results",
        "Trial": "slugline.lesson.results",
        "run": "slugline.lesson.run",
    },
)
