#!/usr/bin/env bash
# deploy/compose/test.sh [--from-source] [JUNIT.xml] - build the images, run the stack, break it in each way that it promises to
# survive, and say what happened (tests/compose). Exit status: 0 all passed, 1 not, 77 there is no Docker engine and none can be
# started here, so nothing was run.
#
# It takes the engine that runs. Where none does, and we are root, it starts one of its own for as long as the test: in
# namespaces of its own, so that all its processes, mounts, bridges and firewall rules go with it; only its images stay, in
# $XDG_CACHE_HOME/infermesh/docker (~/.cache), for all clones, one test at a time. It builds beside the machine's network (apt)
# and runs the stack in a network that has no way out.
#
# The base image comes from a registry, or is made with debootstrap. The binaries are those of build/release, unless
# --from-source has docker build them. /usr/bin/docker and /usr/bin/docker-compose are Debian's.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
top=$PWD
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
base=debian:bookworm-slim
images=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/infermesh/docker

die() {
	echo "compose test: $*" >&2
	exit 1
}

# Poll until "$@" succeeds; $1 seconds at most.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# Make $base here if it is not and no registry has it.
base_image() {
	docker image inspect "$base" >/dev/null 2>&1 && return
	timeout 20 docker pull -q "$base" >/dev/null 2>&1 && return
	echo "compose test: no registry is reached: making $base with debootstrap" >&2
	local root
	root=$(mktemp -d /tmp/im-base-XXXXXX)
	# shellcheck disable=SC2064 # this root
	trap "rm -rf '$root' '$root.log'" EXIT
	debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 ||
		{ tail -20 "$root.log" >&2; die "debootstrap failed"; }
	# debootstrap names one archive; updates and security lie beside it.
	local archive=$root/etc/apt/sources.list
	sed -n -i 'p; s| bookworm main| bookworm-updates main|p; s|/debian bookworm-updates main|/debian-security bookworm-security main|p' "$archive"
	# What the machine reaches its packages by, it may need in the image too.
	if [ -n "$(ls /usr/local/share/ca-certificates 2>/dev/null)" ]; then
		mkdir -p "$root/usr/local/share/ca-certificates" "$root/etc/ssl/certs"
		cp /usr/local/share/ca-certificates/* "$root/usr/local/share/ca-certificates/"
		cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	fi
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
	tar -C "$root" -c . | docker import -c 'CMD ["bash"]' - "$base" >/dev/null
	rm -rf "$root" "$root.log"
	trap - EXIT
}

image() { # image TARGET TAG [ARG...]
	local target=$1 tag=$2
	shift 2
	docker build -q --network=host -f deploy/docker/Dockerfile --target "$target" -t "$tag" --build-arg "REVISION=$revision" \
		--build-arg "REVISION_TIME=$time" "$@" . >/dev/null
}

build_images() {
	base_image
	time=$(git log -1 --format=%ct)
	revision=$(git rev-parse HEAD)
	local binaries=(--build-arg BINARIES=prebuilt)
	if [ "$from_source" = 1 ]; then
		binaries=()
	else
		rm -rf build/image
		DESTDIR=$top/build/image cmake --install build/release --prefix /usr --strip >/dev/null
	fi
	image infermesh infermesh:test "${binaries[@]}"
	image redis infermesh-redis:test
	image prometheus infermesh-prometheus:test
	# Once more without docker's cache: the same commit must give the same contents.
	[ "$all" = 0 ] || image infermesh infermesh:again --no-cache "${binaries[@]}"
	[ -z "$phase" ] || docker image prune -f >/dev/null # those of earlier commits, in the engine that is ours
}

run_tests() {
	/usr/bin/python3 -m pytest -q --durations=4 -p no:cacheprovider ${junit:+--junitxml "$junit"} tests/compose
}

# The engine for ourselves: $1 = build or run. Called in namespaces of its own, where it is process 2 or so, and the end of
# process 1 ends all.
with_engine() {
	local folder engine=()
	folder=$(mktemp -d /tmp/im-docker-XXXXXX)
	mount -t tmpfs tmpfs "$folder"
	if [ "$1" = build ]; then
		engine=(--bridge=none --iptables=false --ip6tables=false)
	else
		ip link set lo up
	fi
	export DOCKER_HOST=unix://$folder/docker.sock
	dockerd --data-root "$images" --exec-root "$folder/exec" --pidfile "$folder/docker.pid" --host "$DOCKER_HOST" \
		"${engine[@]}" >"$folder/log" 2>&1 &
	local dockerd=$! status=0
	if ! within 30 docker info; then
		echo "compose test: dockerd does not start: $(tail -1 "$folder/log")" >&2
		exit 77
	fi
	set +e
	(
		set -e
		if [ "$1" = build ]; then
			build_images
		else
			run_tests
		fi
	)
	status=$?
	set -e
	kill "$dockerd"
	wait "$dockerd" || true
	umount -l "$folder"
	rmdir "$folder"
	exit $status
}

from_source=0
all=${INFERMESH_TESTS_ALL:-0}
phase=
while [ $# -gt 0 ]; do
	case $1 in
	--from-source) from_source=1 ;;
	--phase=*) phase=${1#--phase=} ;;
	-*) die "unknown option $1" ;;
	*) junit=$(readlink -f "$1") ;;
	esac
	shift
done
if [ -n "$phase" ]; then
	with_engine "$phase"
fi

again=()
[ $from_source = 0 ] || again+=(--from-source)
[ -z "${junit:-}" ] || again+=("$junit")
for program in docker docker-compose; do
	command -v $program >/dev/null || { echo "compose test: there is no $program: apt-get install docker.io docker-compose" >&2; exit 77; }
done
tests/clients/setup.sh # the OpenAI SDK; later there is no way out
if docker info >/dev/null 2>&1; then
	build_images
	run_tests
	exit
fi
[ "$(id -u)" = 0 ] || { echo "compose test: no Docker engine runs, and to start one takes root" >&2; exit 77; }
command -v dockerd >/dev/null || { echo "compose test: there is no dockerd: apt-get install docker.io" >&2; exit 77; }
mkdir -p "$images"
exec 9>"$images.lock"
flock -w 1800 9 || die "another such test holds $images.lock"
unshare --mount --pid --fork --kill-child --mount-proc "$0" --phase=build "${again[@]}"
exec unshare --mount --pid --net --fork --kill-child --mount-proc "$0" --phase=run "${again[@]}"
