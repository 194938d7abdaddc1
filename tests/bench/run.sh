#!/usr/bin/env bash
# tests/bench/run.sh [link|router|gateway|audit|verify|recovery|cache [--trace]|serving|local] [--json] - benchmarks, as ratios against a baseline of the same run.
set -euo pipefail
cd "$(dirname "$0")/../.."
which=${1:-all}
shift || true
case "$which" in
all | link | router | gateway | audit | verify | recovery | cache | serving | local) ;;
*)
	echo "bench: no benchmark '$which'; there are: link, router, gateway, audit, verify, recovery, cache, serving, local" >&2
	exit 2
	;;
esac
if [ "$which" = all ] || [ "$which" = link ]; then
	build/release/bench/link_bench "$@"
fi
if [ "$which" = all ] || [ "$which" = router ]; then
	build/release/bench/router_bench "$@"
fi
if [ "$which" = all ] || [ "$which" = gateway ]; then
	/usr/bin/python3 tests/bench/gateway_bench.py "$@"
fi
if [ "$which" = all ] || [ "$which" = audit ]; then
	build/release/bench/audit_bench "$@"
fi
if [ "$which" = all ] || [ "$which" = verify ]; then
	build/release/bench/verify_bench # prints text only
fi
if [ "$which" = all ] || [ "$which" = recovery ]; then
	build/release/evidence/audit-recovery --dir /var/tmp # prints JSON only
fi
if [ "$which" = all ] || [ "$which" = cache ]; then
	build/release/bench/cache_bench "$@"
	case " $* " in
	*" --trace "*) ;;
	*) /usr/bin/python3 tests/bench/cache_mesh_bench.py "$@" ;;
	esac
	[ "$which" != all ] || build/release/bench/cache_bench --trace "$@"
fi
if [ "$which" = serving ]; then # not of 'all': it takes minutes; 'gateway' is its one figure
	/usr/bin/python3 tests/bench/serving_bench.py "$@"
fi
if [ "$which" = local ]; then # not of 'all': it needs llama-server
	/usr/bin/python3 tests/bench/local_bench.py "$@"
fi
