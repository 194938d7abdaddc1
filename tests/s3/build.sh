#!/usr/bin/env bash
# tests/s3/build.sh - build build/s3/infermesh-s3, the object store that the cache is tested with. Needs Go: any from 1.19 on (Debian 12's golang-go),
# which fetches a newer one.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
# shellcheck source=tests/go.sh
. ../go.sh
[ -n "$go" ] || { echo "s3: there is no Go: apt-get install golang-go" >&2 && exit 1; }
out=$PWD/../../build/s3
mkdir -p "$out"
newer=$(newer_go "$out") || { echo "s3: Go 1.24 or newer is needed, and none could be had from the module proxy" >&2 && exit 1; }
env -u GOROOT GOTOOLCHAIN=local "$newer" build -o "$out/infermesh-s3" .
