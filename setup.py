"""Adds the compiled kernel, which is optional: without a compiler, NumPy does its work."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "slugline.text._kernel",
            ["src/slugline/text/_kernel.c"],
            py_limited_api=True,
            optional=True,
        )
    ],
    # One wheel for all versions of Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
