#!/usr/bin/env python3
"""Requests through the mesh against nginx as a reverse proxy and against no proxy, in interleaved rounds of one run.

The same upstream (infermesh-upstream, instant), the same load generator, 64 connections, not streamed. Client, proxy and upstream
share this machine, client and upstream its last core, which the proxy may use too. What counts is the ratio to nginx (one worker
process), and that of fail-closed to no audit; absolute figures only show the machine.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/mesh"))
from mesh import BUILD, Mesh, free_port, wait_for  # noqa: E402

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream up {{ server {upstream}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000000;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
BODY = json.dumps({"model": "instant", "messages": [
    {"role": "system", "content": "You are a helpful assistant of a small shop. " * 8},
    {"role": "user", "content": "Where is my order number %d?"}]})


def elsewhere(*command):
    """Who is on other machines in earnest shares one core: else the scheduler puts it on the proxy's at times, and that is what is measured."""
    return ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]


def load(address, key, seconds, connections):
    out = subprocess.run([*elsewhere(str(BUILD / "bench/infermesh-load")), "-c", str(connections), "-t", str(seconds), "-k", key or "x",
                          "-b", BODY, address], capture_output=True, text=True, check=True)
    result = json.loads(out.stdout)
    if result["ok"] != result["requests"]:
        raise SystemExit(f"bench: {address}: not every request succeeded: {out.stdout}")
    return result


def new_folder(top):
    """In a part of the disk of its own where the file system knows such a thing: beside thousands of files that were just deleted, as in the
    /tmp of a machine that builds or by an earlier run of this, ext4 without a journal takes ten times as long to make one. The
    part is chosen by the name, so that is a new one each time."""
    subprocess.run(["chattr", "+T", top], stderr=subprocess.DEVNULL, check=False)
    return tempfile.mkdtemp(dir=top)


def tree_rss_kib(mesh, leave_out):
    return sum(p.rss_kib() for name, p in mesh.processes.items() if name not in leave_out)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    args.add_argument("--connections", type=int, default=64)
    args = args.parse_args()
    top = tempfile.mkdtemp(prefix="im-bench-")
    folder = new_folder(top)
    upstream = subprocess.Popen(elsewhere(str(BUILD / "bench/infermesh-upstream"), "-n", "4"), stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
    meshes, nginx = {}, None
    try:
        address = upstream.stdout.readline().strip()
        port = free_port()
        conf = pathlib.Path(folder) / "nginx.conf"
        conf.write_text(NGINX.format(dir=folder, upstream=address, port=port))
        nginx = subprocess.Popen(["nginx", "-c", str(conf)], stderr=subprocess.DEVNULL)
        workers = [{"name": "w", "backend": "upstream", "url": f"http://{address}/v1", "models": ["instant"], "capacity": 1024}]
        quiet = {"log": {"level": "warn"}}
        for name, single, audit in (("single, audit fail-closed", True, "fail-closed"), ("single, audit off", True, "off"),
                                    ("five processes, fail-closed", False, "fail-closed")):
            config = {**quiet, "router": {"audit_mode": audit}}
            meshes[name] = Mesh(f"{folder}/{len(meshes)}", workers=workers, config=config, single=single).start()
        targets = {"direct": (address, None), "nginx": (f"127.0.0.1:{port}", None)}
        targets.update({name: (f"127.0.0.1:{m.port}", m.key) for name, m in meshes.items()})
        for target in targets.values():
            wait_for(lambda: load(*target, 0.2, args.connections), "the first requests")
        rounds = {name: [] for name in targets}
        for _ in range(args.rounds):
            for name, (where, key) in targets.items():
                rounds[name].append(load(where, key, args.seconds, args.connections))
        rss = tree_rss_kib(meshes["five processes, fail-closed"], {"w"})
        report(args, rounds, rss)
    finally:
        for mesh in meshes.values():
            mesh.stop()
        for proc in filter(None, (nginx, upstream)):
            proc.terminate()
            proc.wait(10)
        shutil.rmtree(top, ignore_errors=True)


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
