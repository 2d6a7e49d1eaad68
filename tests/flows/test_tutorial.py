"""The tutorial as a newcomer follows it: every line, in order, with the real encoders."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def blocks() -> list[tuple[str, str]]:
    """The page's commands, each with its language."""
    text = PAGE.read_text("utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, re.S | re.M)


def test_every_line_of_the_tutorial_works(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # the page says 8000, which may be taken here
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))  # without listening, it keeps all but the service away
        follow(tmp_path, str(reserved.getsockname()[1]))


def follow(tmp_path: Path, port: str) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    commands = blocks()
    assert len(commands) >= 12
    services: list[subprocess.Popen[bytes]] = []
    try:
        for language, text in commands:
            text = text.replace("8000", port)
            command = [sys.executable, "-c", text]
            if language == "sh":
                command = ["bash", "-euo", "pipefail", "-c", text]
            if text.startswith("artaffect serve"):
                services.append(subprocess.Popen(text.split(), cwd=tmp_path, env=environment))
                wait_for(f"http://127.0.0.1:{port}/readyz", services[-1])
                continue
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            if "curl" in text:
                assert '"culture":"chinese"' in done.stdout
    finally:
        for service in services:
            service.kill()
            service.wait()
    written = {path.name for path in tmp_path.iterdir()}
    assert {"sample.parquet", "whose", "why.html", "answers.parquet", "new"} <= written
    assert "Deletion test, caption" in (tmp_path / "why.html").read_text("utf-8")
    assert "Nearest paintings" in (tmp_path / "why.html").read_text("utf-8")


def wait_for(address: str, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and service.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail("the service of the tutorial did not start")
