#!/usr/bin/env python3
"""The rules about who may include whom (ARCHITECTURE.md, "Rooms and doors"). Prints each breach; exits 1 if there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Rooms and what they may include besides themselves.
BASE, WIRE = {"base"}, {"base", "wire"}
NET, HTTP = WIRE | {"net"}, {"base", "http"}
DAEMON = NET | HTTP | {"daemon"}
ALLOWED = {
    "lib/base": BASE,
    "lib/wire": WIRE,
    "lib/net": NET,
    "lib/http": HTTP,
    "lib/daemon": DAEMON,
    "client": NET | {"client"},
    "cli": DAEMON | {"cli", "audit", "cache", "router", "inference", "gateway"},
}
SERVICES = ("audit", "cache", "router", "inference", "gateway")
ALLOWED.update({f"services/{name}": DAEMON | {name} for name in SERVICES})
# Headers of a library and the only places that know it.
ONLY = {
    r"<nng/": r"lib/net/",
    r"pb-c\.h": r"lib/wire/|services/\w+/\w+_codec\.c|services/\w+/\w+_codec_test\.c",
    r"<protobuf-c/": r"lib/wire/|services/\w+/\w+_codec\.c",
    r"<yaml\.h>": r"lib/daemon/config",
    r"<curl/": r"lib/daemon/curl_|services/inference/|cli/audit_http|tests/",
    r"<llama\.h>|\"llama\.h\"": r"services/inference/local",
    r"<cJSON|<cjson/": r"services/(gateway|inference)/|cli/",
    r"<hiredis/": r"lib/daemon/redis_|services/cache/|services/router/limiter_script",
    r"<rocksdb/": r"services/cache/rocks_late",
    r"<sqlite3\.h>": r"services/audit/search_(index|test)",
}


def breaches(path):
    rel = path.relative_to(ROOT).as_posix()
    room = next((r for r in ALLOWED if rel.startswith(r + "/")), None)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line)
        if not match:
            continue
        header = match.group(1)
        for pattern, places in ONLY.items():
            if re.search(pattern, header) and not re.match(places, rel):
                yield f"{rel}:{number}: {header} is known only in {places}"
        inside = re.match(r'"(\w+)/', header)
        if inside and room and not header.endswith('.pb-c.h"') and inside.group(1) not in ALLOWED[room]:
            yield f"{rel}:{number}: {room} may not include {header}; it may include {', '.join(sorted(ALLOWED[room]))}"


def main():
    found = [b for pattern in ("lib", "services", "cli", "client") for p in sorted((ROOT / pattern).rglob("*.[ch]"))
             for b in breaches(p)]
    print("\n".join(found) or "layers: no breach")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
