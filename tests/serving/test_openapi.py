"""Random requests to the API get only the responses that its OpenAPI document lists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server import running

pytestmark = pytest.mark.slow

pytest.importorskip("schemathesis", reason="needs schemathesis")


def test_openapi_description_matches_the_answers(tmp_path: Path) -> None:
    with running("--corrections", tmp_path / "c.db", "--max-waiting", 64) as url:
        assert httpx.get(f"{url}/openapi.json", timeout=120).json()["openapi"] == "3.1.0"
        command = Path(sys.executable).with_name("schemathesis")
        arguments = ["run", f"{url}/openapi.json", "--max-examples", "3", "--seed", "1"]
        # No schema can list the topics of a model, or the precisions that it reaches.
        arguments += ["--exclude-checks", "positive_data_acceptance"]
        arguments += ["--checks", "all", "--generation-database", "none", "--no-color"]
        done = subprocess.run(
            [command, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=dict(os.environ, SCHEMATHESIS_HOOKS=""),
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
