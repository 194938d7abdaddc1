"""What a request costs the router when a thousand workers are connected to it and announce themselves, beside two: the case 'workers' of serving_bench.py.

Meshes of daemons whose workers are infermesh-fleet: each has its link, says every second how busy it is and answers at once, so the
router has all of the work with them that it would have with real ones. One configuration file names 256 workers at most; a router takes whoever announces itself.
"""
import contextlib
import statistics
import subprocess
import tempfile
import time

import chart
from targets import BUILD, Mesh, Target, elsewhere, load, new_folder

COUNTS = (2, 1000)
CONNECTIONS = 64
SHARES = (0.25, 0.5)  # of what the slower one reaches: the same load for both
IDLE, ONE, FULL = "no requests", "1 connection", f"{CONNECTIONS} connections"
CORE = ("gateway", "router", "cache", "audit")


class Crowd(Mesh):
    """A mesh with so many workers; use with 'with'."""

    def __init__(self, folder, count):
        super().__init__(folder, workers=[], config={"log": {"level": "warn"}, "router": {"audit_mode": "fail-closed"}})
        self.count, self.fleet = count, None

    def wait_ready(self, seconds=60):
        """It is not, before there is a worker."""
        self.fleet = subprocess.Popen(elsewhere(str(BUILD / "bench/infermesh-fleet"), f"ipc://{self.run_dir}/router.ipc", str(self.count)))
        super().wait_ready(seconds)

    def workers_ready(self):
        return super().workers_ready() and sum(w["state"] == "ready" for w in self.status()["workers"]) == self.count

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def target(self, *names):
        return Target(f"{self.count:,} workers", f"127.0.0.1:{self.port}", self.key, lambda: [self.processes[name].pid for name in names])

    def __exit__(self, *_):
        if self.fleet is not None:
            self.fleet.terminate()
            self.fleet.wait(20)
        self.stop()


def measure(crowd, seconds, connections, rate=0):
    """Without connections: what it costs when nobody asks anything, for a second."""
    parts = [crowd.target("router"), crowd.target(*CORE)]
    before = [part.cost()["cpu_us"] for part in parts]
    if connections == 0:
        time.sleep(seconds)
        result = {"requests": seconds, "per_second": 0, "latency_us": {"p50": 0}}
    else:
        result = load(parts[0], seconds, connections, more=("-r", rate) if rate else ())
    router, core = [(part.cost()["cpu_us"] - b) / result["requests"] for part, b in zip(parts, before)]
    return {"per_second": result["per_second"], "p50_us": result["latency_us"]["p50"], "router_us": router, "core_us": core}


def run(rounds, seconds):
    """[{workers, load, per_second, p50_us, router_us, core_us}]: medians of rounds, the counts in turn and then the other way round; IDLE: cost a second."""
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(tempfile.TemporaryDirectory(prefix="im-bench-"))
        crowds = [stack.enter_context(Crowd(new_folder(top), count)) for count in COUNTS]
        slowest = min(measure(crowd, seconds, CONNECTIONS)["per_second"] for crowd in crowds)
        rates = {f"{share * slowest:,.0f} requests a second": (CONNECTIONS, share * slowest) for share in SHARES}
        loads = {IDLE: (0,), ONE: (1,), **rates, FULL: (CONNECTIONS,)}
        found = {(name, n): [] for name in loads for n in COUNTS}
        for i in range(rounds):
            for name, how in loads.items():
                for crowd in crowds if i % 2 == 0 else reversed(crowds):
                    if name != IDLE or i == 0:
                        found[name, crowd.count].append(measure(crowd, seconds, *how))
    return [{"workers": n, "load": name, **{what: statistics.median(r[what] for r in results) for what in results[0]}} for (name, n), results in found.items()]


def growth(rows):
    """[(load, CPU a request of all at the fewest workers, and how many times that at the most)]: of those loads that are the same for both."""
    cost = {(row["load"], row["workers"]): row["core_us"] for row in rows}
    return [(name, us, cost[name, COUNTS[-1]] / us) for (name, n), us in cost.items() if n == COUNTS[0] and name not in (IDLE, FULL)]


def tables(rows):
    def line(row):
        whose = [row["load"], f"{row['workers']:,}"]
        if row["load"] == IDLE:
            return [*whose, "-", "-", *(f"{row[what] / 1000:.1f} ms a second" for what in ("router_us", "core_us"))]
        return [*whose, f"{row['per_second']:.0f}", f"{row['p50_us']:.0f} µs", *(f"{row[what]:.1f} µs" for what in ("router_us", "core_us"))]
    return chart.table(["load", "workers", "requests/s", "p50", "CPU a request: router", "gateway, router, cache, audit"], list(map(line, rows)))
