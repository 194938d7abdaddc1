"""What the kernel and the disk of this machine take by themselves: the case 'floor' of serving_bench.py.

Steps that no daemon of this shape can do without (infermesh-floor), and proxies that pass bytes unread (infermesh-relay; Targets makes them). Of both, for
each figure that has to hold, what it could at best be: so that one that is missed says by whose doing.
"""
import json
import subprocess

import chart
import serving_workers
from targets import BUILD

CORES = {"one": "both on one core", "two": "on two cores", "free": "as the scheduler puts them"}
SOCKETS = {"unix": "Unix socket", "tcp": "loopback TCP"}
MANY = 1000
RELAYS = {"relay": 1, "three relays": 3}  # how many processes pass it on


def probe(*args):
    return json.loads(subprocess.run([str(BUILD / "bench/infermesh-floor"), *map(str, args)], capture_output=True, text=True, check=True).stdout)


def steps(folder):
    """{name: {p50, p99}} in µs; the log is written in 'folder'."""
    record = probe("record", folder)
    found = {"log: write past the page cache": record["write"], "log: fdatasync behind it": record["sync"], "log: both": record["both"]}
    for kind, name in SOCKETS.items():
        for cores, where in CORES.items():
            found[f"wake-up by {name}, {where}"] = probe("wake", kind, cores)["wake"]
    found[f"message through one of {MANY:,} Unix sockets, nobody woken"] = probe("many", MANY)["message"]
    return found


class Floors:
    """Of a report; None for what was not measured."""

    def __init__(self, report):
        self.steps = report["steps"]
        self.cases = [c for c in report["cases"] if c["kind"] == "floor"]

    def rows(self, beginning):
        return next((c["rows"] for c in self.cases if c["name"].startswith(f"floor: {beginning}")), {})

    def added(self, beginning, what, relay):
        rows = self.rows(beginning)
        return rows[relay][what] - rows["direct"][what] if relay in rows and "direct" in rows else None

    def parts(self, name):
        """What the hops and what the disk add to the p50 of the mesh 'name' at one connection, µs; None if that was not measured."""
        alone, several = (self.added("1 connection", "latency_p50_us", relay) for relay in RELAYS)
        if alone is None or several is None or not self.steps:
            return None
        # Three processes are two hops more on the way there and two on the way back; to the audit service and back are two again.
        hops = several + (several - alone) / 2 if name == "five processes" else alone
        return hops, 0 if "off" in name else self.steps["log: both"]["p50"]

    def one(self, name):
        """Their sum."""
        parts = self.parts(name)
        return None if parts is None else sum(parts)

    def share(self, name):
        """Of nginx's requests/s at 64 connections."""
        rows, relay = self.rows("64 connections"), "three relays" if name == "five processes" else "relay"
        return rows[relay]["per_second"] / rows["nginx"]["per_second"] if relay in rows and "nginx" in rows else None

    def first_chunk(self, name):
        """The added p99 of streams at a pace, µs."""
        return self.added("64 streams", "first_byte_p99_us", "three relays" if name == "five processes" else "relay")

    def many_workers(self, base_us, load):
        """CPU at 1,000 workers of that at 2, which is 'base_us': a message to and from each worker by itself, where else several go together."""
        if not self.steps:
            return None
        alone = load == serving_workers.ONE
        return 1 if alone else (base_us + self.steps[f"message through one of {MANY:,} Unix sockets, nobody woken"]["p50"]) / base_us


def tables(found):
    return chart.table(["a step, by the kernel and the disk alone", "p50", "p99"], [[name, *(f"{us[q]:.1f} µs" for q in ("p50", "p99"))] for name, us in found.items()]) if found else []
