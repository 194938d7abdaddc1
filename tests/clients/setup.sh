#!/usr/bin/env bash
# tests/clients/setup.sh - the clients that the gateway is tested with: openai (npm, pinned) and pynng (PyPI, pinned).
set -euo pipefail
cd "$(dirname "$0")"
if [ ! -d node_modules/openai ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
fi
python=../../.cache/python
if [ ! -d "$python/pynng" ]; then
	/usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$python" \
		pynng==0.8.0
fi
proto=../../build/proto-python
mkdir -p "$proto"
protoc -I ../../proto --python_out="$proto" ../../proto/infermesh/v1/*.proto
