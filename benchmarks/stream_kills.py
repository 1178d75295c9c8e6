"""Kill learning in passes at random moments, and look whether it goes on to the same bytes.

    python benchmarks/stream_kills.py [--rounds 20] [--schedulers 10] [--texts 50000] [--seed 0]
        [--json results.json]

In each round, `slugline train --stream --checkpoint` is killed with SIGKILL at a moment drawn at
random, up to three times, and then given once more. In rounds of schedulers, the command learns on
a Dask cluster of two workers, whose scheduler is killed; the command must end with status 1, and
goes on with a new cluster. The model must have the bytes of one that was learned without a stop;
else this ends with status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from synthetic import texts

N_TOPICS, N_FILES = 40, 8
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def write_texts(folder: Path, n: int, seed: int) -> None:
    """Write labelled texts to a few files."""
    files = [(folder / f"part-{number}.jsonl").open("w") for number in range(N_FILES)]
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.enter_context(file)
        for number, (text, topic) in enumerate(texts(n, N_TOPICS, seed)):
            files[number * N_FILES // n].write(json.dumps({"text": text, "topic": topic}) + "\n")


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin to learn."""
    command = [sys.executable, "-m", "slugline", "train", "part-*.jsonl", "-q", *options]
    return subprocess.Popen(command, cwd=folder, **_QUIET)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a scheduler and two workers; yield the scheduler, and its address."""
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
        place = Path(own) / "scheduler.json"
        common = ["--no-dashboard", "--scheduler-file", str(place)]
        scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        worker = ["dask_worker", "--no-nanny", "--nthreads", "1", "--local-directory", own]
        started = []
        for name, *options in (scheduler, worker, worker):
            command = [sys.executable, "-m", f"distributed.cli.{name}", *options, *common]
            started.append(subprocess.Popen(command, cwd=own, **_QUIET))
        try:
            while not place.exists():
                time.sleep(0.05)
            time.sleep(0.1)
            yield started[0], json.loads(place.read_text())["address"]
        finally:
            for process in started:
                process.kill()
                process.wait()


def killed_process(folder: Path, seconds: float, rng: random.Random) -> int:
    """Kill the command a few times, and give it once more; return how often it was killed."""
    options = ["--stream", "--checkpoint", "kept", "-o", "model.slug"]
    n_kills = 0
    for _ in range(rng.randint(1, 3)):
        process = start(folder, *options)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, seconds))
        process.kill()
        n_kills += process.wait() < 0
    assert start(folder, *options).wait() == 0
    return n_kills


def killed_scheduler(folder: Path, seconds: float, rng: random.Random) -> int:
    """Kill the scheduler, and give the command to another cluster; return how often that was."""
    options = ["--checkpoint", "kept", "-o", "model.slug"]
    with cluster(folder) as (scheduler, address):
        process = start(folder, "--scheduler", address, *options)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, seconds))
        scheduler.kill()
        status = process.wait()
        assert status in (0, 1), status
    if status:
        with cluster(folder) as (_, address):
            assert start(folder, "--scheduler", address, *options).wait() == 0
    return status


def main() -> None:
    """Run all rounds, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--schedulers", type=int, default=10)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng = random.Random(given.seed)  # noqa: S311 - nothing secret
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, given.texts, given.seed)
        began = time.monotonic()
        assert start(folder, "--stream", "-o", "whole.slug").wait() == 0
        seconds = time.monotonic() - began
        wanted = (folder / "whole.slug").read_bytes()
        kinds = {
            "process": (killed_process, given.rounds),
            "scheduler": (killed_scheduler, given.schedulers),
        }
        for kind, (function, n_rounds) in kinds.items():
            found = {"rounds": n_rounds, "kills": 0, "same_bytes": 0, "seconds_whole": seconds}
            for _ in range(n_rounds):
                found["kills"] += function(folder, seconds, rng)
                found["same_bytes"] += (folder / "model.slug").read_bytes() == wanted
                assert not (folder / "kept").exists()
                (folder / "model.slug").unlink()
                shutil.rmtree(folder / "kept", ignore_errors=True)
            results[kind] = found
            print(
                f"{kind} killed: {n_rounds} rounds, {found['kills']:.0f} kills, "
                f"{found['same_bytes']:.0f} with the same bytes ({seconds:.0f} s without a stop)"
            )
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1))
    sys.exit(any(found["same_bytes"] < found["rounds"] for found in results.values()))


if __name__ == "__main__":
    main()
