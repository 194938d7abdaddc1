"""Fixtures of tests/mesh, the verifiers that run.sh built, and logs for them: of known entries, and of a mesh."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "mesh"))

import fixtures  # noqa: E402
from mesh import BUILD, ROOT, Mesh, free_port, wait_for  # noqa: E402

pytest_sessionfinish, pytest_terminal_summary = fixtures.pytest_sessionfinish, fixtures.pytest_terminal_summary
instant = pytest.fixture(scope="module")(fixtures.instant.__wrapped__)
INTEROP = ROOT / "build/interop"


@pytest.fixture(scope="session")
def verifier():
    """verifier("sumdb", "folder", …) → what it says; it must accept."""
    def run(name, *args, accepts=True):
        program = INTEROP / name
        if not program.exists():
            pytest.fail(f"{name} could not be built, so this was NOT checked:\n{(INTEROP / f'{name}.log').read_text()}")
        done = subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=300)
        assert (done.returncode == 0) == accepts, done.stdout + done.stderr
        return (done.stdout if accepts else done.stderr).strip()
    return run


@pytest.fixture(scope="session")
def vectors(tmp_path_factory):
    """The folder that tlog-vectors writes."""
    folder = tmp_path_factory.mktemp("vectors")
    subprocess.run([str(BUILD / "interop/tlog-vectors"), str(folder)], check=True)
    return folder


class Log:
    """What a mesh wrote: its folder, where its daemon serves it, its key, and checkpoints that were published on the way."""

    def __init__(self, mesh, folder, url):
        self.mesh, self.checkpoints, self.url = mesh, folder, url
        self.dir = mesh.state_dir / "audit"
        self.vkey = mesh.status()["audit"]["vkey"]

    def size(self):
        return int((self.dir / "checkpoint").read_text().splitlines()[1])

    def keep_checkpoint(self):
        text = (self.dir / "checkpoint").read_text()
        (self.checkpoints / text.splitlines()[1]).write_text(text)

    def wait_published(self, records):
        wait_for(lambda: (self.dir / "checkpoint").exists() and self.size() >= records, f"{records} records are published")


@pytest.fixture(scope="module")
def log(tmp_path_factory, instant):
    """The log of a mesh that answered 300 requests; its audit daemon still runs."""
    folder = tmp_path_factory.mktemp("log")
    (folder / "checkpoints").mkdir()
    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    port = free_port()
    mesh = Mesh(folder / "m", workers=workers,
                config={"audit": {"publish_ms": "100ms", "serve": f"127.0.0.1:{port}"}}).start()
    try:
        log = Log(mesh, folder / "checkpoints", f"http://127.0.0.1:{port}")
        for n in range(1, 301):
            status, _, text = mesh.chat({"model": "m", "messages": [{"role": "user", "content": f"question {n}"}]})
            assert status == 200, text
            if n % 25 == 0:
                log.wait_published(2 * n)
                log.keep_checkpoint()
        mesh.settled()
        log.wait_published(mesh.status()["audit"]["size"])
        yield log
    finally:
        statuses = mesh.stop()
    assert not any(statuses.values()), statuses
