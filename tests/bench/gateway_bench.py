#!/usr/bin/env python3
"""Requests through the mesh against nginx as a reverse proxy and against no proxy, in interleaved rounds of one run.

Alike upstreams (infermesh-upstream, instant), one load generator, 64 connections, not streamed. Client, proxy and upstream
share this machine, client and upstream its last core, which the proxy may use too. What counts is the ratio to nginx (one worker
process), and that of fail-closed to no audit; absolute figures only show the machine.
"""
import argparse
import json
import os
import statistics

from targets import Targets, load

MESHES = {"single, audit fail-closed": (True, "fail-closed"), "single, audit off": (True, "off"),
          "five processes, fail-closed": (False, "fail-closed")}


def tree_rss_kib(mesh, leave_out):
    return sum(p.rss_kib() for name, p in mesh.processes.items() if name not in leave_out)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    args.add_argument("--connections", type=int, default=64)
    args = args.parse_args()
    with Targets(MESHES) as targets:
        rounds = {target.name: [] for target in targets.list}
        for _ in range(args.rounds):
            for target in targets.list:
                rounds[target.name].append(load(target, args.seconds, args.connections))
        rss = tree_rss_kib(targets.meshes["five processes, fail-closed"], {"w"})
    report(args, rounds, rss)


def report(args, rounds, rss_kib):
    base = statistics.median(r["per_second"] for r in rounds["nginx"])
    rows = [{"name": name, "per_second": statistics.median(r["per_second"] for r in results),
             "of_nginx": statistics.median(r["per_second"] for r in results) / base,
             "p50_us": statistics.median(r["latency_us"]["p50"] for r in results),
             "p99_us": statistics.median(r["latency_us"]["p99"] for r in results)} for name, results in rounds.items()]
    kept = statistics.median(closed["per_second"] / off["per_second"] for closed, off in
                             zip(rounds["single, audit fail-closed"], rounds["single, audit off"]))
    if args.json:
        print(json.dumps({"connections": args.connections, "rounds": args.rounds, "rows": rows, "fail_closed_of_off": kept,
                          "rss_kib_gateway_router_cache_audit": rss_kib, "kernel": os.uname().release}))
        return
    print(f"{args.connections} connections, medians of {args.rounds} interleaved rounds of {args.seconds:g} s")
    print(f"{'':32} {'of nginx':>9} {'requests/s':>11} {'p50 µs':>8} {'p99 µs':>8}")
    for r in rows:
        print(f"{r['name']:32} {r['of_nginx']:9.2f} {r['per_second']:11.0f} {r['p50_us']:8.0f} {r['p99_us']:8.0f}")
    print(f"single, fail-closed of audit off, median of the rounds: {kept:.2f} (at least 0.85)")
    print(f"RSS of gateway, router, cache and audit together after that load: {rss_kib / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
