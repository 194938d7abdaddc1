// What builds with Debian 12's own Go. x/mod is the version that Debian packages (golang-golang-x-mod-dev).
module infermesh.test/tlog

go 1.19

require (
	github.com/transparency-dev/merkle v0.0.2
	golang.org/x/mod v0.7.0
)
