"""Builds for GPUs, as far as a machine without one can tell: what is missing is said when it is configured, or fetched."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def configure(folder, *options):
    done = subprocess.run(["cmake", "-S", ROOT, "-B", folder / "build", "-G", "Ninja", *options], capture_output=True, text=True,
                          timeout=300)
    return done.returncode, re.sub(r"\s+", " ", done.stderr)


@pytest.mark.parametrize("options, says", [
    (["-DINFERMESH_LOCAL_GPU=opencl"], "INFERMESH_LOCAL_GPU=opencl: allowed are cuda, vulkan, or nothing"),
    (["-DINFERMESH_LOCAL_GPU=cuda", "-DWITH_LLAMA=OFF"], "GPUs are for the bundled llama.cpp"),
])
def test_a_gpu_that_cannot_be_is_refused(tmp_path, options, says):
    status, text = configure(tmp_path, *options)
    assert status != 0 and says in text


@pytest.mark.parametrize("gpu, toolkit", [("cuda", "needs the CUDA toolkit"), ("vulkan", "needs Vulkan's headers")])
def test_what_is_missing_for_a_gpu_is_named(tmp_path, gpu, toolkit):
    # There is no llama.cpp in this folder; with the toolkit that is what is said, without it the toolkit.
    status, text = configure(tmp_path, f"-DINFERMESH_LOCAL_GPU={gpu}", f"-DLLAMA_PREBUILT_DIR={tmp_path}/llama")
    assert status != 0 and (toolkit in text or f"run third_party/fetch-llama.sh --gpu {gpu}" in text)


def test_fetching_for_another_gpu_is_refused():
    done = subprocess.run([ROOT / "third_party/fetch-llama.sh", "--gpu", "opencl"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "") and "allowed are cuda and vulkan" in done.stderr
