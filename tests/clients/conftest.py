"""Fixtures of tests/mesh, and meshes that a whole module shares."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mesh"))

import fixtures  # noqa: E402
from mesh import Mesh  # noqa: E402
from upstream import Upstream  # noqa: E402

pytest_sessionfinish, pytest_terminal_summary = fixtures.pytest_sessionfinish, fixtures.pytest_terminal_summary


@pytest.fixture(scope="module")
def upstream():
    with Upstream() as up:
        yield up


@pytest.fixture(scope="module")
def shared():
    folder, meshes = tempfile.mkdtemp(prefix="im-"), []

    def make(**kwargs):
        mesh = Mesh(f"{folder}/{len(meshes)}", **kwargs)
        meshes.append(mesh)
        return mesh.start()

    yield make
    for mesh in meshes:
        statuses = mesh.stop()
        assert not any(statuses.values()), statuses
    shutil.rmtree(folder, ignore_errors=True)
