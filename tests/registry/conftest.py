"""The registries that the tests run against: a local database, and a real server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from many_models.registry import Registry

START_SECONDS = 120


@pytest.fixture(scope="session")
def local_uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('local') / 'store' / 'mlflow.db'}"


@pytest.fixture(scope="session")
def server_uri(tmp_path_factory, empty_store):
    """A running `mlflow server`, stopped at the end."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", empty_store(folder)]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    # Its job queue is four processes more, each of which imports MLflow; nothing here asks for a job.
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", folder / "log.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        # The server's own children are in its group.
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait(server, url, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"mlflow server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session", params=["local", "server"])
def registry(request):
    """The registry under test; the same tests run against both kinds."""
    return Registry(request.getfixturevalue(f"{request.param}_uri"))
