"""Adds the compiled kernel, which is optional: where it can't be built, NumPy does its work."""

import os

from setuptools import Extension, setup

kernel = Extension(
    "slugline.text._kernel",
    ["src/slugline/text/_kernel.c"],
    py_limited_api=True,
    optional=True,
)
setup(
    # Without it, the wheel is for any system.
    ext_modules=[] if os.environ.get("SLUGLINE_KERNEL") == "0" else [kernel],
    # With it, for all versions of Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
