#!/usr/bin/env bash
# tests/run.sh [--all] - everything that './dev test' runs: units, sanitizers, mesh, clients. The last line counts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
all=0
[ "${1:-}" = --all ] && all=1
out=build/test-results
rm -rf "$out"
mkdir -p "$out"
export INFERMESH_TESTS_ALL=$all

say() { printf '\n== %s\n' "$*"; }

# One failed test under the name $1: for a step that could not even begin.
failed() {
	echo '<testsuite tests="1" failures="1" errors="0" skipped="0"/>' >"$out/$1.xml"
}

build() {
	local nice=0
	say "build $1"
	[ -z "$composing" ] || nice=19 # what runs beside it goes first
	nice -n $nice ./dev build "$1" >"$out/build-$1.log" 2>&1 && return
	tail -40 "$out/build-$1.log"
	failed "build-$1"
	return 1
}

# units PRESET: ctest in build/PRESET.
units() {
	say "units, $1"
	ctest --test-dir "build/$1" --parallel "$(nproc)" --output-on-failure --output-junit "$PWD/$out/units-$1.xml" \
		2>&1 | grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ *Start ' || true
	[ -s "$out/units-$1.xml" ] || failed "units-$1"
}

# py NAME PATH [ARG...]: pytest with its results under NAME.
py() {
	local name=$1
	shift
	say "$name"
	/usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml "$out/$name.xml" "$@" ||
		[ -s "$out/$name.xml" ] || failed "$name"
}

# The images and the stack of deploy/compose, on a Docker engine that runs or is started for it. Where there can be none it did not
# run and does not count, but for --all, where it must.
compose() {
	local status=0
	deploy/compose/test.sh "$PWD/$out/compose.xml" || status=$?
	[ ! -s "$out/compose.xml" ] || return 0
	if [ $status = 77 ] && [ $all = 0 ]; then
		echo "not run: no Docker engine can be started: $(tail -1 "$out/compose.log" | sed 's/^compose test: //')" >"$out/compose.not-run"
	else
		failed compose
	fi
}

composing= # the process that runs compose()
if build release; then
	units release
	py sim tests/sim
	tests/s3/build.sh || failed s3
	py mesh tests/mesh
	py bench tests/bench/serving_report_test.py
	py deploy tests/deploy
	if tests/clients/setup.sh; then
		py clients tests/clients
	else
		failed clients
	fi
	say interop
	tests/interop/tlog/run.sh "$PWD/$out/interop.xml" || [ -s "$out/interop.xml" ] || failed interop
	compose >"$out/compose.log" 2>&1 & # beside the next build: most of its time it waits
	composing=$!
fi
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/tests/tsan.supp" LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp"
for preset in asan tsan; do
	if build $preset; then
		if [ -n "$composing" ]; then
			wait "$composing"
			composing=
			say compose
			cat "$out/compose.log"
		fi
		units $preset
		[ $preset = tsan ] || INFERMESH_BUILD=$PWD/build/$preset py "sim-$preset" tests/sim -k "worlds or replays_exactly"
		INFERMESH_BUILD=$PWD/build/$preset INFERMESH_PATIENCE=5 py "mesh-$preset" tests/mesh -m short
	fi
done
[ -z "$composing" ] || wait "$composing"
if [ $all = 1 ]; then
	say evidence
	tests/evidence/run.py build/release --percent 15 --only tamper faults power kill >"$out/evidence.md" || failed evidence
	py paths tests/bench/path_cost_test.py
	say memory
	build/release/bench/audit_bench --memory --rounds 15 || failed memory
	say fuzz
	./dev fuzz 60 || failed fuzz
fi
[ ! -s "$out/compose.not-run" ] || echo "compose: $(cat "$out/compose.not-run")"
exec tests/summary.py "$out"
