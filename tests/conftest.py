"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import io
import math
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from browsers import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# How long an example takes says something of the machine, and nothing of the code. All runs try the
# same examples; `--hypothesis-profile search` tries many others.
settings.register_profile(
    "same",
    settings.default,
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("same"), derandomize=False, max_examples=1000
)
settings.load_profile("same")

# Nor does the service that runs the tests decide whether help comes in colour.
for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is collected out of garbage collection, which would search it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# Browsers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser for all tests of a file."""
    with chromium() as found:
        yield found


# What is skipped --------------------------------------------------------------------------------


# Beginnings of reasons for which a test may be skipped where the development packages are.
KNOWN_SKIPS = (
    "needs the bench extra (Keras)",
    "could not import 'keras'",
    "could not import 'pyspark'",  # these two have a job of their own
    "could not import 'ray'",
    "no nginx",
    "root may write anywhere",
    "the encoder e5 runs on Linux on x86-64",
    "no disk can be mounted here",  # as only root may
    *(() if os.environ.get("SLUGLINE_DATA") else ("no Reuters files",)),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--known-skips-only",
        action="store_true",
        help="fail if a test is skipped for a reason that is not on the list in tests/conftest.py",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail, if that is asked for, where a test was skipped for a reason that nobody knows."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not session.config.getoption("--known-skips-only"):
        return
    reasons = {
        report.longrepr[2].removeprefix("Skipped: ")
        for report in reporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)  # others are expected failures
    }
    unknown = sorted(reason for reason in reasons if not reason.startswith(KNOWN_SKIPS))
    for reason in unknown:
        reporter.write_line(f"skipped for a reason that is not on the list: {reason}", red=True)
    if unknown and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> Iterator[None]:
    """Heed Ctrl-C, here and in processes that tests start.

    What a shell runs in its background ignores it, and so does each process that begins there.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _unhurried() -> Iterator[None]:
    """Show no progress because something took long, which depends on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slugline.base.progress._SHORT", math.inf)
        yield


@pytest.fixture(scope="session")
def reuters_data() -> Path:
    """Return the folder that holds the Reuters files; skip the test where there is none."""
    root = os.environ.get("SLUGLINE_DATA")
    folder = Path(root) / "reuters" if root else None
    if folder is None or not (folder / "reuters.npz").is_file():
        pytest.skip("no Reuters files: set SLUGLINE_DATA to the folder that holds reuters/")
    return folder


# The command line -------------------------------------------------------------------------------


class Result(NamedTuple):
    """What a command ended with, and what it wrote where."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Return a function that runs `slugline` in this process, in an empty folder."""
    from slugline.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: str | bytes = b"") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr("sys.argv", ["slugline", *map(str, args)])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return run


WORDS = {
    "bank": ["rate", "loan", "bond", "fed", "credit", "yield", "dollar", "deposit"],
    "grain": ["wheat", "corn", "crop", "export", "tonnes", "barley", "silo", "harvest"],
    "sport": ["goal", "match", "team", "coach", "league", "striker", "cup", "penalty"],
}


@pytest.fixture(scope="session")
def news() -> list[tuple[str, str]]:
    """Return 90 short texts, each with its topic; the topics take turns and share few words."""
    documents = []
    for number in range(30):
        for topic, words in WORDS.items():
            own = [words[(number * step + step) % 8] for step in (1, 2, 3)]
            documents.append((f"the {' and '.join(own)} of {number % 7}", topic))
    return documents


@pytest.fixture
def texts(news: list[tuple[str, str]]) -> list[str]:
    """Return the texts of the news."""
    return [text for text, _ in news]


@pytest.fixture
def topics(news: list[tuple[str, str]]) -> list[str]:
    """Return the topics of the news."""
    return [topic for _, topic in news]


@pytest.fixture
def news_csv(news: list[tuple[str, str]], tmp_path: Path) -> Path:
    """Write the news with the columns "body" and "queue"."""
    path = tmp_path / "news.csv"
    lines = ["body,queue", *(f"{text},{topic}" for text, topic in news)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def _model_bytes(news: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from slugline.classifier import TopicClassifier

    path = tmp_path_factory.mktemp("model") / "news.slug"
    texts, topics = zip(*news, strict=True)
    TopicClassifier().fit(texts, topics).save(path, metrics={"test_accuracy": 0.75})
    return path.read_bytes()


@pytest.fixture
def news_slug(_model_bytes: bytes, tmp_path: Path) -> Path:
    """Save a model that learned from the news."""
    path = tmp_path / "news.slug"
    path.write_bytes(_model_bytes)
    return path


@pytest.fixture(scope="session")
def setuptools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch what builds the package; skip the test where no package index can be reached."""
    folder = tmp_path_factory.mktemp("setuptools")
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    requirements = project["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    done = subprocess.run(
        [*pip, "--retries", "0", "--target", str(folder), *requirements],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip()[-200:]}")
    return folder


# Files ------------------------------------------------------------------------------------------


Columns = dict[str, tuple[str, list[Any]]]


@pytest.fixture(scope="session")
def write_parquet() -> Callable[[str | Path, Columns], None]:
    """Give a function that writes columns, each with its SQL type and its values."""
    duckdb = pytest.importorskip("duckdb")

    def write(path: str | Path, columns: Columns) -> None:
        names = [name.replace('"', '""') for name in columns]
        kinds = [kind for kind, _ in columns.values()]
        types = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, kinds, strict=True))
        rows = list(zip(*(values for _, values in columns.values()), strict=True))
        places = ", ".join("?" for _ in columns)
        target = str(path).replace("'", "''")
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE t ({types})")
            connection.executemany(f"INSERT INTO t VALUES ({places})", rows)  # noqa: S608
            connection.execute(f"COPY t TO '{target}' (FORMAT parquet)")

    return write


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache for one test, which doesn't exist yet."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SLUGLINE_CACHE", str(cache))
    return cache


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 512 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield folder
    is_busy = subprocess.run(["umount", str(folder)], check=False).returncode
    if is_busy:  # nothing of a test that fails may be in the way of the next one
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert not is_busy, "a file is still open"
