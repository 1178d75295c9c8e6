"""The files in examples/ for a server behind nginx, under systemd, in Docker, and for agents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

import httpx

from server import running
from slugline.cli.mcp import mcp
from slugline.cli.serve import serve

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
NGINX = (ROOT / "examples" / "nginx.conf").read_text("utf-8")
UNIT = (ROOT / "examples" / "slugline.service").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "examples" / "compose.yaml").read_text("utf-8"))["services"]


@pytest.mark.slow
def test_server_behind_nginx_answers_its_own_page_only() -> None:
    name = re.search(r"server_name (\S+);", NGINX)
    assert name
    assert "proxy_set_header Host $http_host;" in NGINX
    with running("--allowed-host", name[1]) as address:
        asked: dict[str, Any] = {
            "url": f"{address}/v1/classify",
            "json": {"text": "wheat"},
            "timeout": 120,
        }
        passed_on = {"Host": name[1], "X-Forwarded-Proto": "https"}
        for origin, status in ((name[1], 200), ("elsewhere.example", 403)):
            headers = {**passed_on, "Origin": f"https://{origin}"}
            assert httpx.post(**asked, headers=headers).status_code == status
        assert httpx.post(**asked, headers={"Host": "elsewhere.example"}).status_code == 421


def test_nginx_accepts_the_example_configuration(tmp_path: Path) -> None:
    nginx, openssl = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("no nginx, or no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    site = NGINX.replace("/etc/ssl/topics.example.org.key", str(key))
    site = site.replace("/etc/ssl/topics.example.org.pem", str(certificate))
    settings = tmp_path / "nginx.conf"
    logs = f"pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\nevents {{}}\n"
    settings.write_text(f"{logs}http {{\naccess_log off;\n{site}}}\n", "utf-8")

    run = subprocess.run([nginx, "-t", "-c", settings], capture_output=True, text=True)

    assert run.returncode == 0, run.stderr


def test_systemd_accepts_the_example_unit(tmp_path: Path) -> None:
    lines = UNIT.splitlines()
    assert [ln for ln in lines if not re.fullmatch(r"(\[\w+\]|\w+=.*|#.*|)", ln)] == []
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    file = tmp_path / "slugline.service"
    file.write_text(UNIT.replace("/opt/slugline/bin/slugline", sys.executable), encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file],
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (0, "")

    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    found = subprocess.run(command, capture_output=True, text=True)
    if "unrecognized option" in found.stderr:
        pytest.skip("this systemd-analyze rates no files")
    level = re.search(r"exposure level for slugline.service: ([\d.]+) OK", found.stdout)
    assert level, found.stdout + found.stderr
    # Later versions may weigh it a little differently.
    assert float(level[1]) == pytest.approx(1.5, abs=0.5)


def test_compose_file_sets_known_options_and_one_writable_volume() -> None:
    (service,) = COMPOSE.values()
    variables = {p.envvar or f"SLUGLINE_{str(p.name).upper()}" for p in serve.params}
    assert set(service["environment"]) <= variables
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"EXPOSE {service['ports'][0].rpartition(':')[2]}\n" in dockerfile
    assert "WORKDIR /data\n" in dockerfile
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == ["data:/data"]
    assert service["read_only"]


def test_example_for_agents_starts_a_server() -> None:
    settings = json.loads((ROOT / "examples" / "mcp.json").read_text("utf-8"))
    server = settings["mcpServers"]["slugline"]
    command, *arguments = server["args"]
    assert (server["command"], command) == ("slugline", "mcp")
    context = mcp.make_context("mcp", [*arguments], help_option_names=["-h", "--help"])
    assert str(context.params["allow_corrections"]) == arguments[-1]
