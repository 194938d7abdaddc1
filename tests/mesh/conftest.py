"""Fixtures of the mesh tests; see fixtures.py."""
from fixtures import folder, instant, pytest_sessionfinish, pytest_terminal_summary, start  # noqa: F401
