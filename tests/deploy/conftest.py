"""Fixtures of tests/mesh."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mesh"))

import fixtures  # noqa: E402

folder, start, instant = fixtures.folder, fixtures.start, fixtures.instant
pytest_sessionfinish, pytest_terminal_summary = fixtures.pytest_sessionfinish, fixtures.pytest_terminal_summary
