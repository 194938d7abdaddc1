"""deploy/systemd on a machine whose process 1 is systemd: installed as its README says, started, used, hung, killed, stopped.
For --all alone: making such a machine takes root and namespaces."""
import json
import os
import re

import pytest

from machine import Machine
from mesh import BUILD, ROOT, wait_for

UNITS = ["infermesh-audit", "infermesh-cache", "infermesh-router", "infermesh-gateway", "infermesh-worker@demo"]
AS_USER = ["runuser", "-u", "infermesh", "--", "env", "XDG_RUNTIME_DIR=/run", "XDG_STATE_HOME=/var/lib"]


@pytest.fixture(scope="module")
def machine():
    machine = Machine()
    try:
        yield machine
    finally:
        machine.stop()


def answers(machine):
    body = json.dumps({"model": "demo", "seed": 1, "messages": [{"role": "user", "content": "Where is my order A12345?"}]})
    ask = ["curl", "-s", "-m", "30", "http://127.0.0.1:8080/v1/chat/completions", "-d", body]
    wait_for(lambda: '"finish_reason":"stop"' in machine.run(*ask, check=False).stdout, "an answer", 40, 0.1)


def overridden(machine, *lines):
    """Start all anew with these lines besides."""
    machine.run("mkdir", "-p", "/etc/systemd/system/infermesh-.service.d")
    machine.run("tee", "/etc/systemd/system/infermesh-.service.d/test.conf", input="\n".join(["[Service]", *lines, ""]))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", *UNITS)


def shown(machine, *names):
    return {u: tuple(machine.show(u, n) for n in names) for u in UNITS}


if os.environ.get("INFERMESH_TESTS_ALL") == "1":
    def test_units_start_as_the_readme_says(machine):
        machine.run("cmake", "--install", BUILD, "--prefix", "/usr")
        block = re.search(r"```sh\n(install .*?)```", (ROOT / "deploy/systemd/README.md").read_text(), re.S).group(1)
        machine.run("bash", "-eu", "-o", "pipefail", "-s", input=block)
        # 'systemctl enable --now' has waited until each said that it is ready.
        assert shown(machine, "ActiveState", "Type", "WatchdogUSec", "NRestarts") == {u: ("active", "notify", "30s", "0") for u in UNITS}
        assert all(text.startswith("serving") for text, in shown(machine, "StatusText").values())
        answers(machine)
        assert "demo" in machine.run(*AS_USER, "infermesh", "status").stdout

    def test_nothing_that_a_daemon_does_is_forbidden_to_it(machine):
        """A forbidden system call fails, and some failures pass unseen: here it is deadly."""
        overridden(machine, "SystemCallErrorNumber=kill")
        answers(machine)
        machine.run(*AS_USER, "infermesh", "audit", "verify")
        assert shown(machine, "ActiveState", "NRestarts") == {u: ("active", "0") for u in UNITS}

    def test_daemons_that_hang_are_started_anew(machine):
        overridden(machine, "WatchdogSec=8")
        before = shown(machine, "MainPID")
        for pid, in before.values():
            machine.run("kill", "-STOP", pid)
        for unit, (pid,) in before.items():
            wait_for(lambda: machine.show(unit, "MainPID") not in (pid, "0") and machine.show(unit, "ActiveState") == "active",
                     f"{unit} runs again", 60, 0.1)
        answers(machine)
        overridden(machine)

    def test_a_killed_log_is_back_and_whole(machine):
        before = machine.show("infermesh-audit", "MainPID")
        machine.run("systemctl", "kill", "-s", "KILL", "infermesh-audit")
        wait_for(lambda: machine.show("infermesh-audit", "MainPID") not in (before, "0"), "it was started anew", 60, 0.1)
        answers(machine)

    def test_all_stop_cleanly_with_the_target(machine):
        machine.run("systemctl", "stop", "infermesh.target")
        wait_for(lambda: set(shown(machine, "ActiveState").values()) == {("inactive",)}, "all have stopped", 40, 0.1)
        assert shown(machine, "Result", "ExecMainStatus") == {u: ("success", "0") for u in UNITS}
        machine.run(*AS_USER, "infermesh", "audit", "verify")
