"""The stack, up once for all tests of this folder: they run in the order of the file, and each leaves it healthy."""
import pytest

from stack import Stack


@pytest.fixture(scope="session")
def stack():
    stack = Stack()
    stack.down()
    try:
        stack.make_key()
        stack.compose("up", "-d", timeout=180)
        stack.wait_healthy()
        yield stack
    finally:
        stack.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the containers said, below what failed."""
    report = (yield).get_result()
    if report.failed and "stack" in getattr(item, "funcargs", {}):
        report.sections.append(("containers", item.funcargs["stack"].logs()[-8000:]))


def pytest_terminal_summary(terminalreporter):
    for line in Stack.figures:
        terminalreporter.write_line(f"compose: {line}")


def pytest_sessionfinish(session, exitstatus):
    """A skipped test is a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = 1
