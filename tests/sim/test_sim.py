"""The simulation: worlds hold, a run replays exactly, and the checks find a router that is broken on purpose."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INFERMESH_BUILD", ROOT / "build/release"))
SIM = BUILD / "sim/infermesh-sim"
SANITIZED = BUILD.name != "release"
ALL = os.environ.get("INFERMESH_TESTS_ALL") == "1"


def sim(*args, seconds=600):
    return subprocess.run([str(SIM), *map(str, args)], capture_output=True, text=True, timeout=seconds)


def test_worlds_hold_what_is_promised():
    seeds, events = (20, 10000) if SANITIZED else (100, 1000000) if ALL else (20, 100000)
    done = sim("--seeds", seeds, "--events", events, "--jobs", os.cpu_count(), seconds=1800)
    assert done.returncode == 0, done.stderr
    assert f"{seeds} worlds of {events} events held" in done.stdout
    assert len(re.findall(r"^seed \d+:", done.stdout, re.M)) == seeds
    print(done.stdout.splitlines()[-1])


def test_run_replays_exactly_alone_and_after_others():
    alone = sim("--seed", 7, "--seeds", 1, "--events", 20000, "--trace").stdout.splitlines()[:-1]
    again = sim("--seed", 7, "--seeds", 1, "--events", 20000, "--trace").stdout.splitlines()[:-1]
    series = sim("--seed", 6, "--seeds", 2, "--events", 20000, "--trace").stdout.splitlines()[:-1]
    assert len(alone) > 5000
    assert alone == again
    assert series[-len(alone):] == alone


@pytest.mark.parametrize("fault, found", [
    ("slot-freed-twice", r"counts \d+ slots and has \d+ calls open"),
    ("slot-leaked", r"counts \d+ slots and has \d+ calls open"),
    ("call-lost", r"has no end 50 ms after its deadline"),
    ("queue-overfull", r"counts \d+ that wait and has \d+"),
    ("probed-twice", r"\d+ probes of .* at once|whose breaker for .* is"),
    ("limit-forgotten", r"let \d+ (requests in|tokens be used) within"),
])
def test_broken_router_is_found_and_the_failure_replays(fault, found):
    first = sim("--seeds", 20, "--events", 20000, "--break", fault)
    assert first.returncode == 1, first.stdout
    assert re.search(found, first.stderr), first.stderr
    replay = re.search(r"replay: \./dev sim (.*)", first.stderr).group(1).split()
    second = sim(*replay)
    assert second.returncode == 1
    assert second.stderr.splitlines()[0] == first.stderr.splitlines()[0]


if ALL and not SANITIZED:  # a minute
    def test_report_holds_the_targets_against_the_ideals(tmp_path):
        done = sim("--report", tmp_path, "--policy", "least_connections", "--events", 40000, "--jobs", os.cpu_count(),
                   seconds=3000)
        assert done.returncode == 0, done.stderr
        cells = json.loads((tmp_path / "waiting.json").read_text())["cells"]
        assert {c["policy"] for c in cells} == {"least_connections", "random worker", "ideal: shortest queue", "ideal: one queue"}
        ours = {(c["world"], c["load"]): c for c in cells if c["policy"] == "least_connections"}
        assert len(ours) == 4 * 5
        # Where workers queue, 32 routers waited 17 s before they heard of each other at once.
        assert ours["32 routers, workers queue", 0.95]["wait_p99_ms"] < 1
        assert ours["32 routers, workers refuse", 0.95]["wait_p99_ms"] < 20
        assert (tmp_path / "waiting.svg").read_text().rstrip().endswith("</svg>")
        assert (tmp_path / "waiting.md").read_text().count("| least_connections |") == 4


@pytest.mark.parametrize("args, what", [
    (["--policy", "round_robin"], "--policy wants --report and a policy, not 'round_robin'"),
    (["--report", "/nowhere", "--policy", "best"], "--policy wants --report and a policy, not 'best'"),
])
def test_option_that_makes_no_sense_is_refused(args, what):
    done = sim(*args)
    assert done.returncode == 2 and what in done.stderr
