"""Adds compiled kernels, which are optional: where they can't be built, NumPy does their work."""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# Each product is rounded before it is added, so that all compilers give the same results.
ARGUMENTS = [] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno"]

# "0" builds no kernels; "1" fails where one can't be built.
KERNEL = os.environ.get("SLUGLINE_KERNEL")

HEADERS = [path.as_posix() for path in sorted(Path("src/slugline").rglob("*.h"))]
NAMES = (
    "text/_kernel",
    "text/_scores",
    "learning/linear/_descent",
    "learning/linear/_dual",
    "learning/net/_first_layer",
)


def kernel(name: str) -> Extension:
    """Return the extension module of a C file beside the modules that use it."""
    return Extension(
        f"slugline.{name.replace('/', '.')}",
        [f"src/slugline/{name}.c"],
        include_dirs=["src/slugline/base"],
        depends=HEADERS,
        extra_compile_args=ARGUMENTS,
        py_limited_api=True,
    )


class Kernels(build_ext):
    """Builds all kernels or none."""

    def build_extensions(self) -> None:
        """Build the kernels; remove them if one can't be built and they are optional."""
        try:
            super().build_extensions()
        except (BaseError, CCompilerError) as error:
            if KERNEL == "1":
                raise
            self.warn(f"no kernels are built: {error}")
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions.clear()


class Wheel(bdist_wheel):
    """Makes a wheel for any system where no kernel could be built."""

    def run(self) -> None:
        """Build the kernels, and then the wheel."""
        if not self.skip_build:
            self.run_command("build")
        if not self.get_finalized_command("build_ext").get_outputs():
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()


setup(
    cmdclass={"bdist_wheel": Wheel, "build_ext": Kernels},
    ext_modules=[] if KERNEL == "0" else [kernel(name) for name in NAMES],
    # Wheels with kernels are for all versions of Python from 3.11 on, others for any system.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
