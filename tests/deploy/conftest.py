"""Fixtures of tests/mesh."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mesh"))

import fixtures  # noqa: E402

folder, start, instant = fixtures.folder, fixtures.start, fixtures.instant
pytest_sessionfinish, pytest_terminal_summary = fixtures.pytest_sessionfinish, fixtures.pytest_terminal_summary


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the machine's daemons said, below what failed."""
    report = (yield).get_result()
    if report.failed and "machine" in getattr(item, "funcargs", {}):
        report.sections.append(("journal", item.funcargs["machine"].journal()))
