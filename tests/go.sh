# tests/go.sh - sourced: which Go builds a module. Sets 'go'. Where there is none, it stays empty.
# shellcheck shell=bash
export GOFLAGS='-buildvcs=false' GOWORK=off
GO_TOOLCHAIN=go1.25.0

go=$(command -v go || echo /usr/local/go/bin/go)
[ -x "$go" ] || go=

# newer_go FOLDER: a Go of at least 1.24: the one at hand, or GO_TOOLCHAIN from the module proxy, which any Go can download. Log files go to FOLDER.
newer_go() {
	local minor dir
	minor=$("$go" env GOVERSION | sed -E 's/^go1\.([0-9]+).*/\1/')
	[ "$minor" -ge 24 ] && echo "$go" && return
	dir=$(cd "$1" && GOFLAGS='' "$go" mod download -json \
		"golang.org/toolchain@v0.0.1-$GO_TOOLCHAIN.$("$go" env GOOS)-$("$go" env GOARCH)" |
		sed -nE 's/^\t"Dir": "(.*)",$/\1/p')
	[ -d "$dir" ] || return 1
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/* # a module's files are not executable
	echo "$dir/bin/go"
}
