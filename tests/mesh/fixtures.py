"""Fixtures: meshes in temporary folders, the controllable upstream, and the rule that a skipped test is a failed one."""
import shutil
import subprocess
import tempfile

import pytest

from mesh import BUILD, Mesh


@pytest.fixture
def folder():
    """Under /tmp with a short name: paths of unix sockets are short."""
    path = tempfile.mkdtemp(prefix="im-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder):
    """start(workers=…, config=…, single=…) → a running mesh, stopped at the end; every daemon must end cleanly."""
    meshes = []

    def make(**kwargs):
        mesh = Mesh(f"{folder}/{len(meshes)}", **kwargs)
        meshes.append(mesh)
        return mesh.start()

    yield make
    for mesh in meshes:
        killed = {name for name, p in mesh.processes.items() if p.proc is not None and p.proc.poll() == -9}
        for name, status in mesh.stop().items():
            log = mesh.processes[name].log()
            assert "Sanitizer" not in log and "runtime error" not in log, f"{name}:\n{log[-6000:]}"
            assert status == 0 or name in killed, f"{name} ended with {status}:\n{log[-3000:]}"


@pytest.fixture
def instant():
    """infermesh-upstream: instant(tokens=4, delay_ms=0) → its base URL."""
    running = []

    def make(tokens=4, delay_ms=0):
        proc = subprocess.Popen([str(BUILD / "bench/infermesh-upstream"), "-n", str(tokens), "-d", str(delay_ms)],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        running.append(proc)
        return f"http://{proc.stdout.readline().strip()}/v1"

    yield make
    for proc in running:
        proc.terminate()
        proc.wait(10)
        proc.stdout.close()


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_line(f"{skipped} skipped: a skipped test counts as failed")


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = 1
