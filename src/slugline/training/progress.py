"""Names of earlier releases that have moved; see `slugline.lazy.moved_names`."""

from slugline.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "BarProgress": "slugline.progress",
        "LineProgress": "slugline.progress",
        "Progress": "slugline.progress",
        "progress_on": "slugline.progress",
    },
)
