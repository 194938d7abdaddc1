#!/usr/bin/env bash
# tools/lint.sh BUILD - formatting, layers, sizes, scripts, clang-tidy. Prints what is wrong; exits 1 if anything is.
set -uo pipefail
build=$1
failed=0

step() {
	local name=$1
	shift
	echo "lint: $name"
	"$@" || failed=1
}

format() {
	git ls-files -z -- '*.c' '*.h' | xargs -0 clang-format-14 --dry-run -Werror
}

sizes() {
	local f n rc=0
	while read -r f; do
		n=$(wc -l <"$f")
		[ "$n" -le 525 ] || { echo "$f: $n lines; split it by concept (at most about 500)"; rc=1; }
	done < <(git ls-files -- '*.c' '*.h' '*.proto' '*.sh' '*.py' '*.mjs' dev)
	return $rc
}

scripts() {
	git ls-files -z -- '*.sh' dev .ci/run | xargs -0 shellcheck -x -S warning && git ls-files -z -- '*.py' | xargs -0 -r pyflakes3
}

tidy() {
	git ls-files -- 'lib/*.c' 'services/*.c' 'cli/*.c' 'client/*.c' 'tests/*.c' 'tools/*.c' |
		xargs -P "$(nproc)" -n 4 clang-tidy-14 -p "$build" --quiet 2> >(grep -vE 'warnings? (generated|treated)|^Suppressed|^Use -' >&2)
}

step formatting format
step layers tools/layers.py
step sizes sizes
step scripts scripts
step clang-tidy tidy
[ $failed = 0 ] && echo "lint: clean"
exit $failed
