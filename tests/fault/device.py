#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The device meter on the simulated NVML: bounds that hold, MIG instances, a chip nobody knows, a driver without GPM, a
device that falls off the bus, a library that hangs, one that is not there; and the real NVML, which finds no driver."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

B = Path(os.environ.get("B", "build")).resolve()
SIM = str(B / "simgpu/libnvidia-ml.so.1")
GPU = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter"))) / "gpu"
REAL = [*GPU.glob("driver/usr/lib/*/nvidia/current/libnvidia-ml.so.*.*"), *Path("/usr/lib").glob("*/libnvidia-ml.so.*.*")]
BF16 = 1 << 4
H100 = "device GPU-aaaa gpm NVIDIA H100 80GB HBM3\n"
BUSY = "activity 0 80 50 0 3 0 0 1755\n"
SMS, RATE, HZ = 132, 4096, 1755e6


def watch(world, seconds=3, formats=BF16, library=SIM, later=None):
    """Samples and totals; `later` is (seconds, world): what the world becomes."""
    with tempfile.TemporaryDirectory(prefix="opmeter-test-device-") as d:
        path = Path(d) / "world"
        path.write_text(world)
        p = subprocess.Popen([B / "tests/tools/device_watch", library, B / "opmeter", str(seconds), str(formats)],
                             stdout=subprocess.PIPE, text=True, env={**os.environ, "OPMETER_SIMGPU": str(path)})
        if later:
            time.sleep(later[0])
            path.with_suffix(".new").write_text(later[1])
            path.with_suffix(".new").rename(path)
        out, _ = p.communicate(timeout=60)
        assert p.returncode == 0, p.returncode
    lines = [json.loads(x) for x in out.splitlines()]
    return [x for x in lines if "totals" not in x], lines[-1]


def normal():
    samples, totals = watch(H100 + BUSY + "process 0 4711\nprocess 0 4712\n")
    assert len(samples) >= 5 and not totals["gaps"] and not totals["restarts"], totals
    for s in samples:
        truth = SMS * RATE * HZ * s["ns"] / 1e9 * 0.5
        scalar = SMS * 256 * HZ * s["ns"] / 1e9 * 0.03
        assert s["low"] <= truth + scalar <= s["high"], s
        assert s["high"] < 1.02 * (truth + scalar) and s["low"] > 0.98 * (truth + scalar), s
        assert s["high"] <= s["peak"] and s["pids"] == [4711, 4712] and s["known"] and s["all_pids"] and not s["wide"], s
        assert abs(s["busy"] / s["ns"] - 0.8) < 0.01, s
    # Without knowing the formats, the bounds are those of all that the pipe can do.
    loose, _ = watch(H100 + BUSY, formats=0)
    assert loose[0]["high"] / loose[0]["ns"] > 1.9 * samples[0]["high"] / samples[0]["ns"]
    assert totals["peak"] > 2e15, totals


def no_gpm():
    samples, _ = watch("device GPU-bbbb no-gpm NVIDIA A100-SXM4-80GB\nactivity 0 40 25 0 0 0 0 1410\n")
    s = samples[0]
    truth = 108 * 2048 * 1410e6 * s["ns"] / 1e9 * 0.25
    assert s["wide"] and s["low"] == 0 and truth < s["high"] <= s["peak"], s


def unknown_chip():
    samples, _ = watch("device GPU-cccc gpm NVIDIA Z900\nactivity 0 80 50 0 0 0 0 2000\n")
    assert not samples[0]["known"] and samples[0]["high"] >= 132 * 4096 * 2e9 * samples[0]["ns"] / 1e9 * 0.5, samples[0]


def mig():
    world = H100 + BUSY + "instance 0 3 90 60\ninstance 0 5 10 1\nprocess 0 100 3\nprocess 0 200 5\n"
    samples, totals = watch(world)
    by = {s["instance"]: s for s in samples}
    assert set(by) == {3, 5} and totals["devices"] == 2, (by, totals)
    assert by[3]["pids"] == [100] and by[5]["pids"] == [200], by
    assert by[3]["high"] > 20 * by[5]["high"], by


def lost():
    two = H100 + "device GPU-dddd gpm NVIDIA H100 80GB HBM3\n" + BUSY + "activity 1 80 50 0 3 0 0 1755\n"
    samples, totals = watch(two, seconds=4, later=(1.5, two + "fault 0 lost\n"))
    assert totals["lost"] == 1 and totals["restarts"] == 0, totals
    last = [s["device"] for s in samples[-3:]]
    assert set(last) == {"GPU-dddd"}, last


def hang():
    samples, totals = watch(H100 + BUSY + "process 0 77\n", seconds=8, later=(1.0, H100 + "fault 0 hang\n"))
    assert totals["restarts"] >= 1 and "hang" in totals["why"], totals
    # It comes back: the time between is bounded by the peak, and charged to who was there.
    samples, totals = watch(H100 + BUSY + "process 0 77\nfault 0 hang\n", seconds=1)
    with tempfile.TemporaryDirectory(prefix="opmeter-test-device-") as d:
        path = Path(d) / "world"
        path.write_text(H100 + BUSY + "process 0 77\n")
        p = subprocess.Popen([B / "tests/tools/device_watch", SIM, B / "opmeter", "9", str(BF16)], stdout=subprocess.PIPE,
                             text=True, env={**os.environ, "OPMETER_SIMGPU": str(path)})
        for after, world in ((1.5, H100 + "fault 0 hang\n"), (2.5, H100 + BUSY + "process 0 88\n")):
            time.sleep(after)
            path.with_suffix(".new").write_text(world)
            path.with_suffix(".new").rename(path)
        out, _ = p.communicate(timeout=60)
    lines = [json.loads(x) for x in out.splitlines()]
    gaps = [s for s in lines if s.get("gap") == 1]
    assert len(gaps) == 1 and gaps[0]["high"] == gaps[0]["peak"] and gaps[0]["pids"] == [77] and gaps[0]["low"] == 0, gaps
    span = sum(s["ns"] for s in lines if "ns" in s)
    assert 6e9 < span < 9.5e9, span  # no time is missing


def no_processes():
    samples, _ = watch(H100 + BUSY + "process 0 1\nfault 0 no-processes\n")
    assert not samples[0]["all_pids"] and samples[0]["pids"] == [], samples[0]


def no_library():
    for library, world in (("/nonexistent/libnvidia-ml.so.1", ""), (SIM, "fault -1 driver\n")):
        samples, totals = watch(world, library=library, seconds=1)
        assert not samples and totals["why"] and not totals["running"], totals
    if REAL:
        node = Path("/dev/nvidiactl")  # the real one makes it, as root
        was_there = node.exists()
        samples, totals = watch("", library=str(REAL[0]), seconds=1)
        if not was_there:
            node.unlink(missing_ok=True)
        if not samples:
            assert "nvmlInit" in totals["why"], totals


for test in (normal, no_gpm, unknown_chip, mig, lost, hang, no_processes, no_library):
    test()
    print(f"{test.__name__}: pass", flush=True)
sys.exit(0)
