"""Adds compiled kernels, which are optional: where they can't be built, NumPy does their work."""

import os
import sys

from setuptools import Extension, setup

# Each product is rounded before it is added, as by NumPy, so that results are the same.
ARGUMENTS = [] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno"]

NAMES = ("text/_rows", "text/_kernel", "learning/linear/_descent", "learning/linear/_passes")


def kernel(name: str) -> Extension:
    """Return the extension module of a C file beside the modules that use it."""
    return Extension(
        f"slugline.{name.replace('/', '.')}",
        [f"src/slugline/{name}.c"],
        extra_compile_args=ARGUMENTS,
        py_limited_api=True,
        optional=True,
    )


setup(
    # Without them, the wheel is for any system.
    ext_modules=[]
    if os.environ.get("SLUGLINE_KERNEL") == "0"
    else [kernel(name) for name in NAMES],
    # With them, for all versions of Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
