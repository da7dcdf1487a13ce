"""The CUDA kernels compile, without a GPU: registers and spills for sm_80 and sm_90, and the binding's C++."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from torch.utils import cpp_extension

from ssgan_core.rendering import kernels
from ssgan_core.resources import shipped


@pytest.fixture(scope="module")
def nvcc() -> Path:
    found = kernels.find_nvcc()
    if found is None:
        pytest.skip("there is no CUDA compiler nvcc")
    return found


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_compile_and_spill_nothing(nvcc, architecture, tmp_path, capsys):
    flags = [*kernels.NVCC_FLAGS, *cpp_extension.COMMON_NVCC_FLAGS, "-std=c++17", "-Werror=all-warnings"]
    done = subprocess.run(
        [
            nvcc, "-cubin", f"-arch={architecture}", *flags, "-Xptxas", "-v", "-o", tmp_path / "kernels.cubin",
            shipped("cuda") / "lifting_cuda.cu",
        ],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(
        r"Compiling entry function '(\S+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill "
        r"loads.*?Used (\d+) registers",
        done.stdout + done.stderr,
        re.DOTALL,
    )
    rows = {name: [int(number) for number in numbers] for name, *numbers in found}
    with capsys.disabled():
        for name, (stack, stores, loads, registers) in sorted(rows.items()):
            short = re.search(r"(forward|backward|layout|fold)_kernel(ILi\d+E\w)?", name)
            print(
                f"\n{architecture} {short[0] if short else name}: {registers} registers, {stack} bytes of stack, "
                f"spills {stores}/{loads}",
                end="",
            )
    assert sum("forward_kernel" in name for name in rows) == 4
    assert sum("backward_kernel" in name for name in rows) == 4
    for name, (stack, stores, loads, _) in rows.items():
        assert (stack, stores, loads) == (0, 0, 0), name


def test_the_binding_compiles(nvcc, tmp_path):
    """PyTorch without CUDA ships the headers but for one, which only says how it was built."""
    includes = [Path(path) for path in cpp_extension.include_paths()]
    if not any((path / "c10/cuda/impl/cuda_cmake_macros.h").is_file() for path in includes):
        stub = tmp_path / "c10/cuda/impl/cuda_cmake_macros.h"
        stub.parent.mkdir(parents=True)
        stub.write_text("#pragma once\n")
    folders = [tmp_path, *includes, kernels.toolkit(nvcc) / "include"]
    environment = kernels._environment_with_tools("cpu")
    done = subprocess.run(
        [
            *environment.get("CXX", "c++").split(), "-std=c++20", "-fsyntax-only",
            *(word for folder in folders for word in ("-isystem", str(folder))),
            str(shipped("cuda") / "lifting_cuda.cpp"),
        ],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
