#!/bin/sh
# fetch-llama.sh - get llama.cpp and build the static libraries that the local backend links.
#
# Debian 12 does not package llama.cpp. The npm package node-llama-cpp carries its whole source tree as a git bundle, so
# it is taken from there with 'npm pack' (which runs no script of the package) and pinned three ways: the version of the
# package, the sha512 of the tarball, the git commit in the bundle.
#
#   third_party/fetch-llama.sh          put include/, lib/ and LICENSE into .cache/llama of this tree
#   third_party/fetch-llama.sh --tools  build llama-server and llama-batched-bench from the same sources into .cache/llama-tools/bin,
#                                       for './dev bench local' (10 minutes, once)
#   third_party/fetch-llama.sh --gpu cuda|vulkan
#                                       the libraries for -DINFERMESH_LOCAL_GPU, into .cache/llama-cuda or -vulkan; needs the toolkit
#
# INFERMESH_LLAMA_DIR   put them there instead (the tools and those for GPUs beside it)
# CUDAARCHS             --gpu cuda: for these GPUs only, such as 90; default: all that llama.cpp knows, which takes long
# XDG_CACHE_HOME        the result is also kept in $XDG_CACHE_HOME/infermesh (~/.cache/infermesh), so that the next clone
#                       does not build again
# INFERMESH_LLAMA_JOBS  compilers at once (default: 2)
#
# Runs as often as you like: it does nothing when the right build is there already. What is half done never shows: all is
# built beside its destination and renamed. It never touches anything else in the tree.
set -eu

NPM_PACKAGE=node-llama-cpp
NPM_VERSION=3.22.1
NPM_SHA512=bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==
COMMIT=de3ff815ea7d559ee917f063901b8986f038abc6
LIBS="libllama.a libggml.a libggml-cpu.a libggml-base.a"

# Static and position-independent; no OpenMP, whose threads spin. GGML_NATIVE is off because a build for the newest CPU
# dies elsewhere, and gcc 12's AMX kernels die even at home.
FLAGS="-DCMAKE_BUILD_TYPE=Release -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF
-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DGGML_BACKEND_DL=OFF -DLLAMA_ALL_WARNINGS=OFF
-DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
-DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
-DLLAMA_BUILD_IS_DEV=OFF -DLLAMA_OPENSSL=OFF"
case $(uname -m) in
x86_64)
	FLAGS="$FLAGS -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
	FLAGS="$FLAGS -DGGML_AVX512=OFF"
	;;
esac

GPU=
if [ "${1:-}" = --gpu ]; then
	GPU=${2:-}
	case $GPU in
	cuda) FLAGS="$FLAGS -DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF ${CUDAARCHS:+-DCMAKE_CUDA_ARCHITECTURES=$CUDAARCHS}" ;;
	vulkan) FLAGS="$FLAGS -DGGML_VULKAN=ON" ;;
	*)
		echo "fetch-llama: --gpu '$GPU': allowed are cuda and vulkan" >&2
		exit 2
		;;
	esac
	LIBS="$LIBS libggml-$GPU.a"
fi

say() {
	echo "fetch-llama: $*" >&2
}

die() {
	say "$*"
	exit 1
}

need() {
	command -v "$1" >/dev/null 2>&1 || die "'$1' is missing; $2"
}

# A glslc that knows all that llama.cpp's shaders use, which is found out before many minutes have gone into it.
need_glslc() {
	need glslc "it compiles the shaders; it comes with the Vulkan SDK"
	printf '#version 450\n#extension GL_KHR_cooperative_matrix : require\nvoid main() {}\n' |
		glslc -fshader-stage=compute --target-env=vulkan1.3 -o - - >/dev/null 2>&1 ||
		die "this glslc knows no GL_KHR_cooperative_matrix, which llama.cpp's shaders use (Debian 12's 2023.2 does not): take that of the Vulkan SDK"
}

# place FROM TO: a copy of the folder FROM at TO, whole or not at all. No hard links: a write through one would spoil all.
place() {
	mkdir -p "$(dirname "$2")"
	new=$2.new.$$
	rm -rf "$new"
	cp -a --reflink=auto "$1" "$new"
	old=$2.old.$$
	if [ -e "$2" ]; then
		mv -T "$2" "$old"
	fi
	if ! mv -T "$new" "$2" 2>/dev/null; then # somebody else was faster: theirs is as good
		rm -rf "$new"
	fi
	rm -rf "$old"
}

# is_whole DIR: the build that this script would make is there.
is_whole() {
	[ -f "$1/build-id" ] && [ "$(cat "$1/build-id")" = "$BUILD_ID" ] || return 1
	for lib in $LIBS; do
		[ -s "$1/lib/$lib" ] || return 1
	done
	[ -s "$1/include/llama.h" ]
}

fetch() { # fetch TMP PATTERN...: the sources at TMP/src, those that the patterns of a sparse checkout name
	need npm "it fetches the sources: apt-get install npm"
	need git "it unpacks the sources: apt-get install git"
	need openssl "it checks the sources: apt-get install openssl"
	say "fetching $NPM_PACKAGE $NPM_VERSION (17 MB)"
	(cd "$1" && npm pack --silent --ignore-scripts "$NPM_PACKAGE@$NPM_VERSION" >/dev/null) ||
		die "npm could not fetch $NPM_PACKAGE@$NPM_VERSION; look at the network and 'npm config get registry'"
	tarball=$1/$NPM_PACKAGE-$NPM_VERSION.tgz
	[ -f "$tarball" ] || die "npm pack did not leave $(basename "$tarball"); this npm is too old or too new"
	got=$(openssl dgst -sha512 -binary "$tarball" | base64 -w0)
	[ "$got" = "$NPM_SHA512" ] ||
		die "the sha512 of $(basename "$tarball") is $got, not the pinned one; it is not used"
	tar -xzf "$tarball" -C "$1" package/llama/gitRelease.bundle || die "the package does not carry the sources"
	git clone -q --no-checkout "$1/package/llama/gitRelease.bundle" "$1/src"
	git -C "$1/src" config core.sparseCheckout true
	tmp=$1
	shift
	printf '%s\n' "$@" '!/ggml/src/ggml-*/' /ggml/src/ggml-cpu/ ${GPU:+"/ggml/src/ggml-$GPU/"} \
		>"$tmp/src/.git/info/sparse-checkout"
	set -- "$tmp"
	git -C "$1/src" -c advice.detachedHead=false checkout -q "$COMMIT" ||
		die "commit $COMMIT is not in the bundle; it is not used"
	[ "$(git -C "$1/src" rev-parse HEAD)" = "$COMMIT" ] || die "the sources are not at commit $COMMIT"
	rm -rf "$1/src/.git" "$1/package" "$tarball"
}

build() { # build TMP: TMP/out with include/, lib/ and LICENSE
	need cmake "it configures the build: apt-get install cmake"
	need c++ "it compiles llama.cpp: apt-get install g++"
	[ "$GPU" != cuda ] || need nvcc "it compiles for CUDA: install NVIDIA's CUDA toolkit, and put its bin/ into PATH"
	[ "$GPU" != vulkan ] || need_glslc
	say "building the static libraries (about 3 minutes, for GPUs many more; once)"
	# shellcheck disable=SC2086 # FLAGS is a list of words
	cmake -S "$1/src" -B "$1/build" $FLAGS >"$1/log" 2>&1 || { tail -n 30 "$1/log" >&2; die "cmake failed"; }
	nice cmake --build "$1/build" -j "${INFERMESH_LLAMA_JOBS:-2}" --target llama >"$1/log" 2>&1 ||
		{ tail -n 30 "$1/log" >&2; die "the build failed"; }
	mkdir -p "$1/out/lib" "$1/out/include"
	for lib in $LIBS; do
		found=$(find "$1/build" -name "$lib" | head -n 1)
		[ -n "$found" ] || die "the build did not make $lib"
		cp "$found" "$1/out/lib/"
	done
	cp "$1/src/include/llama.h" "$1/src/ggml/include/"ggml.h "$1/src/ggml/include/"ggml-cpu.h \
		"$1/src/ggml/include/"ggml-backend.h "$1/src/ggml/include/"ggml-alloc.h "$1/src/ggml/include/"ggml-opt.h \
		"$1/src/ggml/include/"gguf.h "$1/out/include/"
	cp "$1/src/LICENSE" "$1/out/LICENSE"
	echo "$BUILD_ID" >"$1/out/build-id"
}

# tools TMP: TMP/out/bin with what './dev bench local' compares with.
tools() {
	need cmake "it configures the build: apt-get install cmake"
	say "building llama-server and llama-batched-bench (about 10 minutes, once)"
	# shellcheck disable=SC2086 # FLAGS is a list of words; the last of two settings counts
	cmake -S "$1/src" -B "$1/build" $FLAGS -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON \
		>"$1/log" 2>&1 || { tail -n 30 "$1/log" >&2; die "cmake failed"; }
	nice cmake --build "$1/build" -j "${INFERMESH_LLAMA_JOBS:-2}" --target llama-server llama-batched-bench >"$1/log" 2>&1 ||
		{ tail -n 30 "$1/log" >&2; die "the build failed"; }
	mkdir -p "$1/out/bin"
	cp "$1/build/bin/llama-server" "$1/build/bin/llama-batched-bench" "$1/out/bin/"
	echo "$BUILD_ID" >"$1/out/build-id"
}

need sha256sum "it names the build: apt-get install coreutils"
need c++ "it compiles llama.cpp: apt-get install g++"
TOP=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
DEST=${INFERMESH_LLAMA_DIR:-$TOP/.cache/llama}
DEST=${DEST%/}${GPU:+-$GPU}
FLAGS_ID=$( (echo "$FLAGS" && c++ -dumpmachine && c++ -dumpfullversion -dumpversion) | sha256sum | cut -c 1-12)
BUILD_ID=llama-$COMMIT-$FLAGS_ID

if [ "${1:-}" = --tools ]; then
	DEST=$(dirname "$DEST")/llama-tools
	if [ "$(cat "$DEST/build-id" 2>/dev/null)" = "$BUILD_ID" ]; then
		say "$DEST is up to date"
		exit 0
	fi
	TMP=$(mktemp -d)
	trap 'rm -rf "$TMP"' EXIT
	trap 'exit 130' INT TERM HUP
	fetch "$TMP" '/*'
	tools "$TMP"
	place "$TMP/out" "$DEST"
	say "$DEST is there"
	exit 0
fi
if is_whole "$DEST"; then
	say "$DEST is up to date"
	exit 0
fi
if [ -n "${XDG_CACHE_HOME:-}${HOME:-}" ]; then
	KEPT=${XDG_CACHE_HOME:-$HOME/.cache}/infermesh/$BUILD_ID
else
	KEPT=
fi
if [ -n "$KEPT" ] && is_whole "$KEPT"; then
	place "$KEPT" "$DEST"
	say "$DEST is there, from $KEPT"
	exit 0
fi

TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
trap 'exit 130' INT TERM HUP
fetch "$TMP" /CMakeLists.txt /LICENSE /cmake/ /include/ /src/ /ggml/ /vendor/
build "$TMP"
if [ -n "$KEPT" ]; then
	place "$TMP/out" "$KEPT" || say "could not keep a copy in $KEPT; the next clone builds again"
fi
place "$TMP/out" "$DEST"
say "$DEST is there"
