#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workloads on the simulated GPU, for the test of tests/gpu: they speak as tests/gpu/workloads.py does, their operations and
launches are known exactly, and some of them go wrong in the ways that must be recorded. SIM_DIR: where the stand-ins are."""
import ctypes
import json
import os
import sys
import time

SIM = os.environ.get("SIM_DIR", "")
M, N, K, PRODUCTS, LAUNCHES = 96, 80, 112, 3, 5
NAMES = ["plain", "wrong", "crashing", "silent", "gpt-bf16", "gpt-checkpoint", "gpt-flash", "decode", "gemm"]


class LaunchParams(ctypes.Structure):  # cuLaunchKernel_params
    _fields_ = [("function", ctypes.c_void_p), ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint),
                ("stream", ctypes.c_void_p), ("params", ctypes.c_void_p), ("extra", ctypes.c_void_p)]


class Gpu:
    """A step: products through the library, and launches of a kernel that only the hardware's count tells."""

    def __init__(self):
        self.cuda = ctypes.CDLL(f"{SIM}/libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
        self.blas = ctypes.CDLL(f"{SIM}/libcublas.so.99")
        self.cupti = ctypes.CDLL(f"{SIM}/libcupti.so.13", mode=ctypes.RTLD_GLOBAL)
        self.operations = 2 * M * N * K
        self.cupti.simcupti_kernel(b"sim_kernel", b"src_bf16_dst_fp32", ctypes.c_double(self.operations), ctypes.c_double(0))
        time.sleep(0.5)  # the probes of a library that has just appeared take a moment
        self.handle, self.module, self.function = (ctypes.c_void_p * 3)(), ctypes.c_void_p(), ctypes.c_void_p()
        assert not self.cuda.cuModuleLoadData(ctypes.byref(self.module), None)
        assert not self.cuda.cuModuleGetFunction(ctypes.byref(self.function), self.module, b"sim_kernel")
        assert not self.blas.cublasCreate_v2(self.handle)
        self.real = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self.launch_now)
        if os.environ.get("CUDA_INJECTION64_PATH"):  # as the driver does in cuInit()
            ctypes.CDLL(os.environ["CUDA_INJECTION64_PATH"]).InitializeInjection()

    def launch_now(self, _):
        return self.cuda.cuLaunchKernel(self.function, 11, 2, 1, 128, 1, 1, 64, None, None, None)

    def launch(self):
        p = LaunchParams(self.function, (11, 2, 1), (128, 1, 1), 64, None, None, None)
        assert not self.cupti.simcupti_launch(307, ctypes.byref(p), b"sim_kernel", ctypes.c_void_p(0x1000), self.real, None, False)

    def step(self, has_products=True):
        for _ in range(PRODUCTS if has_products else 0):
            assert not self.blas.cublasSgemm_v2(self.handle, 0, 0, M, N, K, None, None, M, None, K, None, None, M)
        for _ in range(LAUNCHES if has_products else 1):
            self.launch()
        time.sleep(0.002)


def say(o):
    print(json.dumps(o), flush=True)


def run(gpu, name, steps):
    start, marks = time.perf_counter(), []
    for i in range(1, steps + 1):
        gpu.step(name != "gemm")
        marks.append([time.monotonic_ns(), i])
    seconds = time.perf_counter() - start
    ran = {"event": "ran", "steps": steps, "seconds": seconds, "marks": marks[:: max(1, steps // 100)] + marks[-1:]}
    if name == "decode":
        ran.update(token_ms_p50=2.0, token_ms_p99=2.5, token_ms_max=3.0, tokens=steps)
    say(ran)


def go_wrong(name):
    if name == "wrong":
        say({"event": "error", "error": "Made: this workload is to fail"})
        sys.exit(1)
    if name == "crashing":
        os.abort()
    if name == "silent":
        time.sleep(1000)


def main():
    args = sys.argv[1:]
    if "--list" in args:
        return say({"workloads": {n: n for n in NAMES}})
    if "--facts" in args:
        return say({"torch": "none", "cuda": None, "has_gpu": False, "libraries": [f"{SIM}/libcuda.so.1", f"{SIM}/libcublas.so.99"]})
    name = args[0]
    go_wrong(name)
    gpu = Gpu()
    products = 0 if name == "gemm" else PRODUCTS * gpu.operations
    truth = gpu.operations if name == "gemm" else products + LAUNCHES * gpu.operations
    counted = {"operations": str(truth), "products": str(products), "flop_counter": str(truth), "by_operator": {}, "unseen": {}}
    if "--once" in args:
        gpu.step(name != "gemm")
        return say({"event": "once", "stands_in": "simulated", "operations_by_format": {"bf16": str(truth)} if name == "gemm" else {}, **counted})
    ready = {"event": "ready", "what": name, "stands_in": "simulated", "step_s": 0.003, "threads": {"forward": ["main"]}, **counted}
    say(ready)
    for line in sys.stdin:
        verb, _, value = line.strip().partition(" ")
        if verb in ("run", "steps"):
            run(gpu, name, int(float(value) / 0.003) if verb == "run" else int(value))
        elif verb == "again":
            say(ready)
        elif verb == "profile":
            gpu.step()
            say({"event": "profiled", "launches": 2 * PRODUCTS + LAUNCHES, "kernels": {}})
        elif verb == "end":
            return


main()
