#!/bin/bash
# client/install_test.sh BUILD-FOLDER EXAMPLE LIBDIR CC - installs the client library into a folder of its own, as a packager
# would, and builds the example against it with pkg-config: shared, static, and from C++ if there is a compiler.
set -euo pipefail

build=$1 example=$2 libdir=$3 cc=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

cmake --install "$build" --component client --prefix "$dir/usr" > "$dir/log" || fail "$(cat "$dir/log")"
# The file names the prefix of the configuration; this is the one that it was moved to.
pc() {
	PKG_CONFIG_PATH=$dir/usr/$libdir/pkgconfig pkg-config --define-variable=prefix="$dir/usr" "$@" infermesh
}
[ "$(pc --modversion)" ] || fail "pkg-config does not know it"

exported=$(nm -D --defined-only "$dir/usr/$libdir/libinfermesh.so" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }')
[ "$exported" ] || fail "the shared library exports nothing"
if grep -v '^infermesh_' <<< "$exported"; then
	fail "the shared library exports more than infermesh_*"
fi
if nm -g --defined-only "$dir/usr/$libdir/libinfermesh.a" | awk 'NF == 3 { print $3 }' | grep -v '^infermesh_'; then
	fail "the static library exports more than infermesh_*"
fi

# shellcheck disable=SC2046 # words are wanted
"$cc" -std=c11 -Wall -Wextra -Werror -o "$dir/shared" "$example" $(pc --cflags --libs)
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror -o "$dir/static" "$example" $(pc --cflags) "$dir/usr/$libdir/libinfermesh.a" \
	-lprotobuf-c -lnng -lpthread
if command -v c++ > /dev/null; then
	# shellcheck disable=SC2046
	echo '#include <infermesh.h>
int main() { return infermesh_version()[0] == 0; }' | c++ -x c++ -Wall -Werror -o "$dir/cxx" - $(pc --cflags --libs)
	LD_LIBRARY_PATH=$dir/usr/$libdir "$dir/cxx" || fail "the C++ program"
fi

# Without a router both say so in words.
for program in shared static; do
	rc=0
	LD_LIBRARY_PATH=$dir/usr/$libdir timeout 60 "$dir/$program" "ipc://$dir/none" demo hello 2> "$dir/err" || rc=$?
	[ "$rc" = 1 ] || fail "$program exits with $rc: $(cat "$dir/err")"
	grep -q "no router answered at ipc://$dir/none" "$dir/err" || fail "$program says: $(cat "$dir/err")"
done
echo "installed, linked and run: shared and static"
