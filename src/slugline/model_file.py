"""Names of earlier releases that have moved; see `slugline.lazy.moved_names`."""

from slugline.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "BlockInfo": "slugline.saving.schema",
        "FORMAT": "slugline.saving.schema",
        "ModelFile": "slugline.saving.schema",
        "ModelInfo": "slugline.saving.schema",
        "damaged": "slugline.saving.container",
        "pack": "slugline.saving.container",
        "read": "slugline.saving.container",
        "write": "slugline.saving.container",
    },
)
