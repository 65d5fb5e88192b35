# SPDX-License-Identifier: Apache-2.0
"""NVML through ctypes, as far as the rig asks it: clocks and GPM (Hopper and later). After nvml.h of 12.9 and 13.0, as
userspace/agent/nvml.h."""
import ctypes
import time

import host

TENSOR, METRICS_MAX, CLOCK_SM, CLOCK_MEM = 5, 210, 1, 2
METRICS = {1: "graphics", 2: "sm", 3: "occupancy", 4: "integer", 5: "tensor", 6: "dfma tensor", 7: "hmma tensor", 9: "imma tensor",
           10: "dram bandwidth", 11: "fp64", 12: "fp32", 13: "fp16"}


class Metric(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("result", ctypes.c_int), ("value", ctypes.c_double), ("names", ctypes.c_char_p * 3)]


class Metrics(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint), ("count", ctypes.c_uint), ("before", ctypes.c_void_p), ("after", ctypes.c_void_p),
                ("metric", Metric * METRICS_MAX)]


class Nvml:
    def __init__(self, path=None, index=0):
        try:
            self.lib = ctypes.CDLL(path or "libnvidia-ml.so.1")
        except OSError as e:
            raise host.Skip(f"no NVML: {e}")
        self.call("nvmlInit_v2")
        self.device = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(self.device))
        text = ctypes.create_string_buffer(96)
        self.call("nvmlDeviceGetName", self.device, text, ctypes.c_uint(96))
        self.name = text.value.decode()

    def call(self, name, *args):
        rc = getattr(self.lib, name)(*args)
        if rc:
            raise host.Failure(f"{name}: error {rc}")

    def clock_mhz(self):
        mhz = ctypes.c_uint()
        self.call("nvmlDeviceGetClockInfo", self.device, ctypes.c_int(CLOCK_SM), ctypes.byref(mhz))
        return mhz.value

    def has_gpm(self):
        support = (ctypes.c_uint * 2)(1, 0)
        self.call("nvmlGpmQueryDeviceSupport", self.device, support)
        return bool(support[1])

    def sample(self):
        """A sample with the moments before and after it was taken, monotonic ns."""
        s = ctypes.c_void_p()
        self.call("nvmlGpmSampleAlloc", ctypes.byref(s))
        before = time.monotonic_ns()
        self.call("nvmlGpmSampleGet", self.device, s)
        return s, before, time.monotonic_ns()

    def free(self, s):
        self.call("nvmlGpmSampleFree", s)

    def between(self, a, b, ids=tuple(METRICS)):
        """Name -> percent (or an error's number as text) between two samples; an int is NVML's refusal of all."""
        m = Metrics(version=1, count=len(ids), before=a[0].value, after=b[0].value)
        for i, x in enumerate(ids):
            m.metric[i].id = x
        rc = self.lib.nvmlGpmMetricsGet(ctypes.byref(m))
        if rc:
            return rc
        return {METRICS[x]: m.metric[i].value if not m.metric[i].result else f"error {m.metric[i].result}" for i, x in enumerate(ids)}
