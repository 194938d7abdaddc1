#!/usr/bin/env bash
# tools/demo-model/make.sh [OUT] - makes the demo model from nothing: dialogues, tokens, training, GGUF, evaluation. About 900 seconds
# of one core's time, on two threads. OUT (build/demo-model) gets demo-q8_0.gguf and all that led to it; stopped, it goes on with the
# last checkpoint. THREADS=N takes more or fewer (at most 4). SMOKE=1 goes the same way in a minute, with a hundredth of the dialogues
# and of the questions: its model knows nothing, and no figure is demanded of it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
out=${1:-build/demo-model}
tools=build/release/tools

third_party/fetch-llama.sh
cmake --preset release -DINFERMESH_TESTS=ON >/dev/null
cmake --build build/release --target demo-train demo-greedy -- --quiet
mkdir -p "$out"
few=() part=()
if [ "${SMOKE:-0}" = 1 ]; then
	few=(--dialogues 460)
	part=(--part 0.02 --report)
fi
export PYTHONDONTWRITEBYTECODE=1
python3 "$here/corpus.py" "$out" "${few[@]}"
"$tools/demo-train" --threads "${THREADS:-2}" "$out/corpus.bin" "$out/weights.bin"
python3 "$here/gguf.py" "$out/tokenizer.txt" "$out/weights.bin" "$out/demo-q8_0.gguf"
sha256sum "$out/demo-q8_0.gguf"
python3 "$here/evaluate.py" "$out/demo-q8_0.gguf" --greedy "$tools/demo-greedy" --wrong "$out/wrong.jsonl" "${part[@]}"
