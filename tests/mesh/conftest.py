"""Fixtures of the mesh tests; see fixtures.py."""
import fixtures

folder, start, instant = fixtures.folder, fixtures.start, fixtures.instant
pytest_sessionfinish, pytest_terminal_summary = fixtures.pytest_sessionfinish, fixtures.pytest_terminal_summary
