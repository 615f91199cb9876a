"""The Triton kernels compile for an H100, without one. In a process of its own: the other tests interpret them."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton comes with torch for CUDA")

CODE = """
import sys
import triton.language as tl
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from asap.networks import triton, triton_depthwise

IMAGES_ARE = sys.argv[1]  # of images and their gradients

def check(kernel, floats, integers="", counts="i32", **constants):
    kinds = dict.fromkeys(floats.split(), "*fp32") | dict.fromkeys(integers.split(), "*i32") | {"momentum": "fp32", "N": counts}
    kinds |= {name: IMAGES_ARE for name in kinds if name in ("x", "y", "g", "gy", "gx")}
    kinds |= dict.fromkeys(constants, "constexpr")
    signature = {name: kinds.get(name, "i32") for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    assert compile(ASTSource(kernel, signature, places), target=GPUTarget("cuda", 90, 32)).asm["cubin"]

tile = {"BC": 8, "PB": 64, "ACC": tl.float32}
shape = {"H": 8, "DIL": 2, "STEP": 2}
check(triton._finish_moments, "partial mean inverse running_mean running_variance", EPS=1e-5, BLOCK=128, ACC=tl.float32)
none = {"mean": None, "inverse": None}
check(triton._sums, "g y partial", "groups targets", HW=64, IMAGES=8, **tile, **none)
check(triton._mix, "y mean inverse phi out", "groups starts", HW=64, total=None, **tile)
check(triton._mix_backward, "g y mean inverse phi sums gy", "order targets starts", "fp32", HW=64, **tile)
check(triton_depthwise._forward, "x mean inverse weights y", **shape, **tile)
check(triton_depthwise._backward, "x weights gy gx", partial=None, **shape, **tile, **none)
del tile["BC"]
check(triton_depthwise._weight_gradient, "gy x mean inverse out", SIDE=3, TAPS=16, IMAGES=8, **shape, **tile)
"""


@pytest.mark.parametrize("images", ["*fp32", "*bf16"])
def test_for_an_h100(tmp_path, images):
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", CODE, images], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
