#!/usr/bin/env bash
# tests/fuzz/run.sh BUILD SECONDS - run each fuzz target for so long on a copy of its corpus, one on each processor; a crash is
# kept in build/fuzz.
set -uo pipefail
export build=$1 seconds=$2

run_one() {
	local target=$1 name corpus
	name=$(basename "$target")
	corpus="$build/corpus/$name"
	mkdir -p "$corpus"
	if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/$name-" "$corpus" "tests/fuzz/corpus/$name" >"$build/$name.log" 2>&1; then
		echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log") inputs, no finding"
	else
		printf 'fuzz: %s: FAILED, see %s\n%s\n' "$name" "$build/$name.log" "$(tail -5 "$build/$name.log")"
	fi
}
export -f run_one

report=$(mktemp)
trap 'rm -f "$report"' EXIT
printf '%s\0' "$build"/fuzz/*_fuzz | xargs -0 -P "$(nproc)" -I{} bash -c 'run_one {}' | tee "$report"
passed=$(grep -c 'inputs, no finding$' "$report")
failed=$(grep -c ': FAILED, see ' "$report")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" = "$(find "$build/fuzz" -name '*_fuzz' | wc -l)" ]
