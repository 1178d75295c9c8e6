"""The Dockerfile, without Docker: its steps are taken in an empty environment."""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.metadata
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from linked_packages import link_package, link_requirements

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# What they do to a system is nothing to do to this one.
ONLY_IN_A_CONTAINER = ("apt-get ", "useradd ")
TOKEN = "0123456789abcdef"


class Step(NamedTuple):
    """An instruction of a Dockerfile, in capitals, and what it says."""

    name: str
    words: str


def steps_of(text: str) -> list[list[Step]]:
    """Return the steps of each stage."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    stages: list[list[Step]] = []
    for line in filter(None, map(str.strip, lines)):
        name, _, words = line.partition(" ")
        if name == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(Step(name, words.strip()))
    return stages


BUILD, FINAL = steps_of((ROOT / "Dockerfile").read_text("utf-8"))


def said(name: str, stage: list[Step] = FINAL) -> list[str]:
    return [step.words for step in stage if step.name == name]


def is_sent(path: str) -> bool:
    """Return whether `.dockerignore` lets the builder have a file."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!").strip()
        if not pattern or pattern.startswith("#"):
            continue
        above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        tried = [pattern, pattern.removeprefix("**/")]
        if any(fnmatch.fnmatchcase(each, one) for each in above for one in tried):
            sent = line.startswith("!")
    return sent


def test_dockerfile_has_no_compiler_and_an_unprivileged_user() -> None:
    assert not any("gcc" in step.words or "apt-get" in step.words for step in FINAL)
    assert said("USER") == ["10001"]
    assert "--uid 10001" in said("RUN")[0]
    assert said("EXPOSE") == ["8080"]
    assert "SLUGLINE_HOST=0.0.0.0" in said("ENV")
    assert (said("ENTRYPOINT"), said("CMD")) == (['["slugline"]'], ['["serve"]'])
    # A user without rights first, so that nothing is done as root later on.
    assert [step.name for step in FINAL].index("USER") > [step.name for step in FINAL].index("COPY")


def test_dockerfile_copies_existing_files_in_the_build_context() -> None:
    copied = [path for words in said("COPY", BUILD) for path in words.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert is_sent(path), path
    assert is_sent("src/slugline/text/_kernel.c")
    assert is_sent("src/slugline/model/reuters46.slug")
    for path in (".git/HEAD", "tests/conftest.py", "src/slugline/text/_kernel.abi3.so", "a.slug"):
        assert not is_sent(path), path


@pytest.mark.parametrize("extras", ["", "encoder", "encoder,mcp"])
def test_dockerfile_installs_the_extras_of_the_build_argument(extras: str) -> None:
    assert "EXTRAS" in said("ARG", BUILD)
    [install] = [words for words in said("RUN", BUILD) if "serve" in words]
    command = f"echo {install.partition('--require-hashes')[2]}"
    environment = {"EXTRAS": extras, "PATH": os.environ["PATH"]}
    found = subprocess.check_output(["sh", "-c", command], env=environment, text=True)
    files = [f"requirements/{name}.txt" for name in filter(None, ["serve", *extras.split(",")])]
    assert found.split() == [word for file in files for word in ("-r", file)]
    assert all((ROOT / file).exists() and is_sent(file) for file in files)


def test_dockerfile_installs_packages_by_hash() -> None:
    installs = [words for words in said("RUN", BUILD) if "pip install" in words]
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or words.endswith("--no-deps dist/*.whl"), words
    assert "--no-build-isolation" in next(w for w in said("RUN", BUILD) if "pip wheel" in w)


def test_dockerfile_pins_its_base_by_digest() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.search(r"(?m)^ARG PYTHON=3\.\d+-slim@sha256:[0-9a-f]{64}$", text)
    assert re.findall(r"(?m)^FROM (\S+)", text) == ["python:${PYTHON}"] * 2


def test_makefile_serve_installs_and_starts() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    found = subprocess.run(
        ["make", "--no-print-directory", "-n", "-W", "pyproject.toml", "serve"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    assert 'pip install --quiet --editable ".[serve]"' in found
    assert found.rstrip().endswith(".venv/bin/slugline serve --corrections corrections.db")


# In an empty environment ------------------------------------------------------------------------


class Image(NamedTuple):
    """What the steps have made."""

    #: Stands for the container's root.
    root: Path
    environment: dict[str, str]

    def placed(self, words: str) -> str:
        """Return words with the container's folders replaced by those that stand for them."""
        return re.sub(r"(?<![\w.])/(?=opt/|data\b|build\b)", f"{self.root}/", words)


@pytest.fixture(scope="module")
def image(setuptools: Path) -> Iterator[Image]:
    """Take the steps, except those that would change the system."""
    # Not in the tests' own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="slugline-image-") as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("opt", "data", "build", "home", "tmp"):
            (root / folder).mkdir()
        pip = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or "proxy" in k.lower()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # Packages that have been fetched before need not be fetched again, nor all be compiled.
        quick = {"PIP_CACHE_DIR": _pip_cache(), "PIP_NO_COMPILE": "1"}
        quick["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        # Kernels that aren't optimised are compiled in a quarter of the time.
        compiler = root / "home" / "cc"
        compiler.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" -O0\n')
        compiler.chmod(0o755)
        quick["CC"] = str(compiler)
        made = Image(root, {**pip, **quick, "PATH": path, "HOME": str(root / "home")})
        for step in BUILD:
            _take(step, made)
            if step.words.startswith("python -m venv /opt/"):
                link_requirements(_packages(root / "opt" / "slugline"), ["serve"])
        yield made


def _packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def _pip_cache() -> str:
    command = [sys.executable, "-m", "pip", "cache", "dir"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip()


def _take(step: Step, made: Image) -> None:
    folder = made.root / "build"
    if step.name == "COPY":
        for path in step.words.split()[:-1]:
            if (ROOT / path).is_file():
                shutil.copy(ROOT / path, folder)
                continue
            names = [p for p in (ROOT / path).rglob("*") if is_sent(str(p.relative_to(ROOT)))]
            for found in filter(Path.is_file, names):
                target = folder / found.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, target)
    elif step.name == "RUN" and not step.words.startswith(ONLY_IN_A_CONTAINER):
        if "kernel is not built" in step.words and shutil.which(os.environ.get("CC", "cc")) is None:
            return
        command = made.placed(step.words).replace("--no-cache-dir ", "")
        if venv := re.match(r"python -m venv (\S+)( && |$)", command):
            # With the pip that is here, which need not be unpacked and compiled.
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv[1]], check=True)
            link_package(importlib.metadata.distribution("pip"), _packages(Path(venv[1])))
            command = command[venv.end() :] or "true"
        done = subprocess.run(  # noqa: S602
            command, shell=True, cwd=folder, env=made.environment, capture_output=True, text=True
        )
        assert not done.returncode, f"{step.words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _read_only(made: Image) -> list[str]:
    """Return a command that runs another one without rights, on a read-only system if it can."""
    if not hasattr(os, "geteuid") or os.geteuid() or shutil.which("setpriv") is None:
        for folder in ("home", "opt", "build"):
            (made.root / folder).chmod(0o555)
        return []
    # It has none of root's rights then; another user might not reach the interpreter.
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    mounts = [f"mount -t tmpfs tmpfs {shlex.quote(str(made.root / f))}" for f in ("tmp", "data")]
    script = f"mount -o remount,ro,bind / / && {' && '.join(mounts)} && exec "
    unshare = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"{script} true"], capture_output=True).returncode:
        return command
    return [*unshare, f'{script} "$@"', "sh", *command]


def _free_port() -> int:
    """Return a port that is free, and that no system gives to whoever asks for any."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


def test_image_runs_healthy_on_a_read_only_disk_and_ends_cleanly(image: Image) -> None:
    tokens = image.root / "build" / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    own = dict(words.split("=", 1) for words in said("ENV") if not words.startswith("PATH="))
    environment = {
        **own,
        "PATH": f"{image.root}/opt/slugline/bin:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "TMPDIR": str(image.root / "tmp"),
        "SLUGLINE_PORT": str(_free_port()),
        "SLUGLINE_CORRECTIONS": str(image.root / "data" / "corrections.db"),
    }
    (words,) = said("HEALTHCHECK")
    check = json.loads(words.partition("CMD ")[2])
    command = [*json.loads(said("ENTRYPOINT")[0]), *json.loads(said("CMD")[0])]
    run = [*_read_only(image), *command]

    # Open to others, it does not start without a token.
    refused = subprocess.run(run, env=environment, cwd=image.root, capture_output=True, text=True)
    assert refused.returncode == 2, refused.stderr
    assert "0.0.0.0 can be reached from other machines" in refused.stderr
    assert subprocess.run(check, env=environment, capture_output=True).returncode == 1

    environment["SLUGLINE_TOKEN_FILE"] = str(tokens)
    with subprocess.Popen(run, env=environment, cwd=image.root, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 600
            while subprocess.run(check, env=environment, capture_output=True).returncode:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            port = environment["SLUGLINE_PORT"]
            _ask(f"http://127.0.0.1:{port}/v1/classify", {"text": "wheat exports rose"}, 200)
            asked = {"text": "wheat exports rose", "topic": "grain"}
            _ask(f"http://127.0.0.1:{port}/v1/corrections", asked, 201)
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err.decode()


def _ask(address: str, body: dict[str, str], status: int) -> None:
    import urllib.request

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        assert answer.status == status
        assert json.load(answer)["model"] == "reuters46"
