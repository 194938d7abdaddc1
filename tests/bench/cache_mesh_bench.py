#!/usr/bin/env python3
"""A cached answer through the mesh: its CPU against the same request to an instant upstream, and requests a second against nginx
as a reverse proxy in front of that upstream, in interleaved rounds of one run.

CPU is that of the mesh's processes, its worker included, the upstream's not. The bounds, 0.6 of the CPU at most and 0.6 of nginx at
least, are judged without the audit log: two records and their sync cost a cached answer as much as any other, and nginx keeps none.
"""
import argparse
import json
import statistics
import sys

from targets import BODY, Targets, load

CPU_MOST, RATE_LEAST = 0.6, 0.6
JUDGED = "single, audit off"
ASKED = json.loads(BODY)
CACHED = json.dumps({**ASKED, "temperature": 0}).replace("%d", "1")
FRESH = json.dumps({**ASKED, "temperature": 1})
MESHES = {JUDGED: (True, "off"), "single, audit fail-closed": (True, "fail-closed"),
          "five processes, audit off": (False, "off"), "five processes, fail-closed": (False, "fail-closed")}


def measure(target, body, args):
    before = target.cost()["cpu_us"]
    result = load(target, args.seconds, args.connections, body)
    return {"per_second": result["per_second"], "cpu_us": (target.cost()["cpu_us"] - before) / result["requests"]}


def report(args, rounds, nginx):
    base, good, rows = statistics.median(nginx), True, []
    for name, kinds in rounds.items():
        mid = {kind: {what: statistics.median(r[what] for r in results) for what in ("per_second", "cpu_us")}
               for kind, results in kinds.items()}
        rows.append({"name": name, "cached_cpu_us": mid["cached"]["cpu_us"], "fresh_cpu_us": mid["fresh"]["cpu_us"],
                     "cpu_ratio": mid["cached"]["cpu_us"] / mid["fresh"]["cpu_us"],
                     "cached_per_second": mid["cached"]["per_second"], "fresh_per_second": mid["fresh"]["per_second"],
                     "of_nginx": mid["cached"]["per_second"] / base})
        if name == JUDGED:
            good = rows[-1]["cpu_ratio"] <= CPU_MOST and rows[-1]["of_nginx"] >= RATE_LEAST
    if args.json:
        print(json.dumps({"rows": rows, "nginx_per_second": base, "ok": good}))
    else:
        print(f"{args.connections} connections, medians of {args.rounds} interleaved rounds of {args.seconds:g} s; nginx {base:.0f}/s")
        print(f"{'':32} {'cached µs':>10} {'fresh µs':>10} {'ratio':>6} {'fresh/s':>9} {'cached/s':>9} {'of nginx':>9}")
        for r in rows:
            print(f"{r['name']:32} {r['cached_cpu_us']:10.1f} {r['fresh_cpu_us']:10.1f} {r['cpu_ratio']:6.2f} "
                  f"{r['fresh_per_second']:9.0f} {r['cached_per_second']:9.0f} {r['of_nginx']:9.2f}")
        print("ok" if good else f"MISSED: at most {CPU_MOST} of the CPU and at least {RATE_LEAST} of nginx are wanted")
    return 0 if good else 1


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    args.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    args.add_argument("--connections", type=int, default=64)
    args = args.parse_args()
    with Targets(MESHES, {"cache": {"ttl_ms": "1h"}}) as targets:
        nginx, meshes = targets.named("nginx"), [targets.named(name) for name in MESHES]
        for target in (nginx, *meshes):
            for body in (CACHED, FRESH):
                load(target, 0.2, args.connections, body)
        rounds, proxied = {mesh.name: {"cached": [], "fresh": []} for mesh in meshes}, []
        for _ in range(args.rounds):
            proxied.append(load(nginx, args.seconds, args.connections, CACHED)["per_second"])
            for mesh in meshes:
                rounds[mesh.name]["cached"].append(measure(mesh, CACHED, args))
                rounds[mesh.name]["fresh"].append(measure(mesh, FRESH, args))
    return report(args, rounds, proxied)


if __name__ == "__main__":
    sys.exit(main())
