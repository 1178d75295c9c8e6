"""Names of earlier releases that have moved; see `slugline.lazy.moved_names`."""

from slugline.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "Vocabulary": "slugline.text.vocabulary",
        "VocabularyBuilder": "slugline.text.vocabulary",
    },
)
