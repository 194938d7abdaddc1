#!/usr/bin/env bash
# tests/fuzz/run.sh BUILD SECONDS - run each fuzz target for so long on a copy of its corpus; a crash is kept in build/fuzz.
set -uo pipefail
build=$1 seconds=$2 failed=0 passed=0
for target in "$build"/fuzz/*_fuzz; do
	name=$(basename "$target")
	corpus="$build/corpus/$name"
	mkdir -p "$corpus"
	if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/$name-" "$corpus" "tests/fuzz/corpus/$name" >"$build/$name.log" 2>&1; then
		passed=$((passed + 1))
		echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log") inputs, no finding"
	else
		failed=$((failed + 1))
		echo "fuzz: $name: FAILED, see $build/$name.log"
		tail -5 "$build/$name.log"
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
