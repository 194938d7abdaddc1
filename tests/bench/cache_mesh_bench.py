#!/usr/bin/env python3
"""A cached answer through the mesh: its CPU against the same request to an instant upstream, and requests a second against nginx
as a reverse proxy in front of that upstream, in interleaved rounds of one run.

CPU is that of the mesh's processes, its worker included, the upstream's not. The bounds, 0.6 of the CPU at most and 0.6 of nginx at
least, are judged without the audit log: two records and their sync cost a cached answer as much as any other, and nginx keeps none.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gateway_bench import BODY, BUILD, NGINX, Mesh, free_port, new_folder, wait_for  # noqa: E402

CPU_MOST, RATE_LEAST = 0.6, 0.6
JUDGED = "single, audit off"
ASKED = json.loads(BODY)
CACHED = json.dumps({**ASKED, "temperature": 0}).replace("%d", "1")
FRESH = json.dumps({**ASKED, "temperature": 1})


def load(target, body, seconds, connections):
    address, key = target
    out = subprocess.run([str(BUILD / "bench/infermesh-load"), "-c", str(connections), "-t", str(seconds), "-k", key or "x",
                          "-b", body, address], capture_output=True, text=True, check=True)
    result = json.loads(out.stdout)
    if result["ok"] != result["requests"]:
        raise SystemExit(f"bench: {address}: not every request succeeded: {out.stdout}")
    return result


def cpu_us(mesh):
    ticks = 0
    for p in mesh.processes.values():
        fields = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK")


def measure(mesh, body, args):
    before = cpu_us(mesh)
    result = load((f"127.0.0.1:{mesh.port}", mesh.key), body, args.seconds, args.connections)
    return {"per_second": result["per_second"], "cpu_us": (cpu_us(mesh) - before) / result["requests"]}


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
    top = tempfile.mkdtemp(prefix="im-bench-")
    folder = new_folder(top)
    upstream = subprocess.Popen([str(BUILD / "bench/infermesh-upstream"), "-n", "4"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
    meshes, nginx = {}, None
    try:
        address = upstream.stdout.readline().strip()
        port = free_port()
        conf = pathlib.Path(folder) / "nginx.conf"
        conf.write_text(NGINX.format(dir=folder, upstream=address, port=port))
        nginx = subprocess.Popen(["nginx", "-c", str(conf)], stderr=subprocess.DEVNULL)
        workers = [{"name": "w", "backend": "upstream", "url": f"http://{address}/v1", "models": ["instant"], "capacity": 1024}]
        for name, single, audit in ((JUDGED, True, "off"), ("single, audit fail-closed", True, "fail-closed"),
                                    ("five processes, audit off", False, "off"), ("five processes, fail-closed", False, "fail-closed")):
            config = {"log": {"level": "warn"}, "router": {"audit_mode": audit}, "cache": {"ttl_ms": "1h"}}
            meshes[name] = Mesh(f"{folder}/{len(meshes)}", workers=workers, config=config, single=single).start()
        proxy = (f"127.0.0.1:{port}", None)
        for target in (proxy, *((f"127.0.0.1:{m.port}", m.key) for m in meshes.values())):
            for body in (CACHED, FRESH):
                wait_for(lambda: load(target, body, 0.2, args.connections), "the first requests")
        rounds, proxied = {name: {"cached": [], "fresh": []} for name in meshes}, []
        for _ in range(args.rounds):
            proxied.append(load(proxy, CACHED, args.seconds, args.connections)["per_second"])
            for name, mesh in meshes.items():
                rounds[name]["cached"].append(measure(mesh, CACHED, args))
                rounds[name]["fresh"].append(measure(mesh, FRESH, args))
        return report(args, rounds, proxied)
    finally:
        for mesh in meshes.values():
            mesh.stop()
        for proc in filter(None, (nginx, upstream)):
            proc.terminate()
            proc.wait(10)
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
