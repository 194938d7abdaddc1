#!/usr/bin/env bash
# tests/interop/tlog/run.sh [JUNIT.xml] - others' verifiers on what we write: sumdb/note, sumdb/tlog, transparency-dev/merkle,
# Tessera's client, fsck and log, torchwood and its witness. The last line says what ran. A verifier that could not be built is a failed test that
# says why, never a skipped one. Needs Go: any from 1.19 on (Debian 12's golang-go), which fetches a newer one for Tessera.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")" || exit 1
root=$PWD/../../..
out=$root/build/interop
mkdir -p "$out"
rm -f "$out"/{sumdb,merkle,tessera,witness,litewitness} "$out"/*.log
# shellcheck source=tests/go.sh
. ../../go.sh
[ -n "$go" ] || { echo "interop: there is no Go: apt-get install golang-go" >&2 && exit 1; }

build_tessera() {
	local newer
	newer=$(newer_go "$out") || { echo "Go 1.24 or newer is needed, and none could be had from the module proxy" && return 1; }
	cd tessera && env -u GOROOT GOTOOLCHAIN=local "$newer" build -o "$out/tessera" . &&
		env -u GOROOT GOTOOLCHAIN=local "$newer" list -m -f '{{.Dir}}/testdata/log' \
			github.com/transparency-dev/tessera >"$out/testdata"
}

# Tessera as a client of witnesses, and torchwood's witness. A module of its own: they want much more than the others.
build_witness() {
	local newer
	newer=$(newer_go "$out") || { echo "Go 1.24 or newer is needed, and none could be had from the module proxy" && return 1; }
	cd witness && env -u GOROOT GOTOOLCHAIN=local "$newer" build -o "$out/witness" . &&
		env -u GOROOT GOTOOLCHAIN=local "$newer" build -o "$out/litewitness" filippo.io/torchwood/cmd/litewitness
}

# Where no module proxy is reached, Debian's x/mod will do for the first.
"$go" build -o "$out/sumdb" ./sumdb >"$out/sumdb.log" 2>&1 ||
	GO111MODULE=off GOPATH=/usr/share/gocode "$go" build -o "$out/sumdb" sumdb/main.go >>"$out/sumdb.log" 2>&1
"$go" build -o "$out/merkle" ./merkle >"$out/merkle.log" 2>&1
(build_tessera) >"$out/tessera.log" 2>&1
(build_witness) >"$out/witness.log" 2>&1
/usr/bin/python3 -m pytest -q -p no:cacheprovider ${1:+--junitxml "$1"} .
status=$?
ran=()
for name in sumdb merkle tessera witness; do
	[ -x "$out/$name" ] && ran+=("$name") || ran+=("NOT RUN: $name (build/interop/$name.log)")
done
[ $status = 0 ] && word=accepted || word=FAILED
echo "interop: $word; $("$go" env GOVERSION): ${ran[*]}; x/mod v0.7.0, merkle v0.0.2, tessera v1.0.4, torchwood v0.9.0"
exit $status
