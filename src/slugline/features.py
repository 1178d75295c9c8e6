"""Names of earlier releases that have moved; see `slugline.lazy.moved_names`."""

from slugline.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "Block": "slugline.text.block",
        "Features": "slugline.text.features",
        "MAX_BUCKETS": "slugline.text.block",
        "WEIGHTINGS": "slugline.text.weighting",
        "document_frequency": "slugline.text.weighting",
        "idf": "slugline.text.weighting",
        "weigh": "slugline.text.weighting",
    },
)
