"""Memory over a million requests: ./dev bench serving --only million. A minute or two for each mesh, and half a GiB of log."""
import json
import time

import chart
from targets import Targets, load

MARKS = (10_000, 100_000, 500_000, 1_000_000)
GROWS_KIB = 2048  # at most, from the second mark on: by then all tables have the size that they keep
REST_S = 3  # behind a mark: what waits for the disk is written, and its memory given back
CONNECTIONS = 64
WAIT_MS = 600_000  # this runs for long, beside whatever else the machine does


def rss_kib(mesh):
    return {name: proc.rss_kib() for name, proc in mesh.processes.items()}


def measure(meshes):
    """{mesh: {"per_second": of the requests, "failed": how many of them (a machine that stands still for a while makes some late), "rss_kib": [{process: KiB} at each mark]}}"""
    found = {}
    with Targets(meshes) as up:
        for name in meshes:
            target, mesh, done, failed, seconds, at = up.named(name), up.meshes[name], 0, 0, 0.0, []
            for mark in MARKS:
                result = load(target, 0, CONNECTIONS, more=("-n", mark - done, "-w", WAIT_MS), all_ok=False)
                done, seconds = mark, seconds + result["seconds"]
                failed += result["requests"] - result["ok"]
                time.sleep(REST_S)
                at.append(rss_kib(mesh))
            found[name] = {"per_second": done / seconds, "failed": failed, "rss_kib": at}
    return found


def grown_kib(result):
    """What all processes of a mesh have grown by from the second mark to the last."""
    return sum(result["rss_kib"][-1].values()) - sum(result["rss_kib"][1].values())


def text(found):
    rows = []
    for name, result in found.items():
        several = len(result["rss_kib"][0]) > 1
        for process in (*result["rss_kib"][0], "all") if several else ("all",):
            kib = [sum(at.values()) if process == "all" else at[process] for at in result["rss_kib"]]
            rows.append([name if process == "all" else f"{name}: {process}", *(f"{k / 1024:.1f}" for k in kib)])
    lines = chart.table(["RSS in MiB after", *(f"{mark:,}" for mark in MARKS)], rows)
    for name, result in found.items():
        lines.append(f"\n{name}: {result['per_second']:.0f} requests/s, {result['failed']} failed; {grown_kib(result):+} KiB from {MARKS[1]:,} requests to {MARKS[-1]:,} "
                     f"(at most {GROWS_KIB:,}): {'flat' if grown_kib(result) <= GROWS_KIB else 'NOT FLAT'}")
    return "\n".join(lines)


def run(meshes, as_json):
    """Measure, print; the exit status."""
    found = measure(meshes)
    print(json.dumps(found) if as_json else text(found))
    return 1 if any(grown_kib(result) > GROWS_KIB for result in found.values()) else 0
