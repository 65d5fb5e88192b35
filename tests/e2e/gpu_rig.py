#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rig of tests/gpu without a GPU: it skips in one line, packs within what can be carried, and, packed and on the simulated GPU,
runs every stage: products and launches to the last one, the hardware's count, what devices did, what goes wrong recorded with its
reason while the others go on, a hang cut off, tables of what was measured, and nothing left behind. On no figure of time."""
import glob
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import BUILD, CACHE, need_live, skip

RIG = BUILD / "gpu-rig"
PROGRAM, NCU = (Path("tests/lib", n).resolve() for n in ("sim_workload.py", "sim_ncu.py"))
WORLD = "device GPU-0 gpm NVIDIA H100 80GB HBM3\nactivity 0 90 40 0 1 0 0 1755\n"
STEP_PRODUCTS, STEP_LAUNCHES, OPERATIONS = 3, 5, 2 * 96 * 80 * 112  # of tests/lib/sim_workload.py


def mounts():
    """The rig's own: others come and go."""
    return {at for at in (line.split()[4] for line in open("/proc/self/mountinfo")) if "opmeter-gpu" in at}


def skips():
    p = subprocess.run(["tests/gpu/run", "--python", "/bin/false"], capture_output=True, text=True)
    assert p.returncode == 77 and p.stdout.startswith("skipped: ") and len(p.stdout.splitlines()) == 1, (p.returncode, p.stdout)
    p = subprocess.run(["tests/gpu/run", "--stage", "no-such"], capture_output=True, text=True)
    assert p.returncode == 2 and "first-light" in p.stderr, p.stderr


def pack():
    out = subprocess.run(["tests/gpu/run", "--pack"], capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr
    size = sum(f.stat().st_size for f in RIG.rglob("*") if f.is_file())
    assert 2**20 < size < 60 * 2**20, size
    for name in ("run", "workloads.py", "driver_entries.c", "bin/opmeter", "bin/watch", "bin/libopmeter-cupti.so", "data/peaks.csv"):
        assert (RIG / name).exists(), name


def rig(work, *args, ok=True, **env):
    """One run of the packed rig: what it printed, and the result."""
    argv = [RIG / "run", "--simulated", "--program", PROGRAM, "--nvml", BUILD / "simgpu/libnvidia-ml.so.1", "--out", work / "out",
            "--ncu", NCU, "--name", "sim", *args]
    p = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=230,
                       env={**os.environ, "SIM_DIR": str(BUILD / "simgpu"), "OPMETER_SIMGPU": str(work / "world"), **env})
    print(p.stdout, p.stderr[-2000:])
    assert (p.returncode == 0) == ok, p.returncode
    return p.stdout, json.loads(next((work / "out").glob("sim-*.json")).read_text())["stages"]


def workloads(work):
    """All meters, and what goes wrong beside."""
    out, stages = rig(work, "--stage", "first-light,workloads", "--workloads", "plain,wrong,crashing", "--seconds", "1.5", ok=False)
    assert list(stages) == ["first-light", "workloads"]
    for stage in stages.values():
        rows = stage["data"]["workloads"]
        assert stage["outcome"] == "failed" and "Made: this workload is to fail" in rows["wrong"]["error"], stage["why"]
        assert "-6" in rows["crashing"]["error"], rows["crashing"]
        plain = rows["plain"]
        steps, read = plain["ran"]["steps"], plain["read"]
        assert steps > 100 and int(read["shape"]["exact"]) == steps * STEP_PRODUCTS * OPERATIONS, read
        assert plain["compared"]["shape_over_products"] == 1
        assert plain["compared"]["launches"] == steps * (STEP_LAUNCHES + 2 * STEP_PRODUCTS), plain["compared"]
        assert read["launch"]["not_bounded"] == steps * STEP_LAUNCHES, read["launch"]
    plain = stages["workloads"]["data"]["workloads"]["plain"]
    counter, compared = plain["read"]["counter"], plain["compared"]
    assert compared["launches_by_profiler"] == compared["launches"]
    # A session counts formats taken at random: bf16, which these kernels have, need not have come up (the windows' stage waits).
    if "bf16" in counter["by_format"]:
        low, high = compared["counter_interval"]
        assert counter["by_format"]["bf16"]["launches"] == steps * STEP_LAUNCHES, counter
        assert low - 1 <= steps * STEP_LAUNCHES * OPERATIONS <= high + 1, counter
    assert compared["inside"] is not None, plain["read"]
    table = next((work / "out").glob("sim-*.md")).read_text()
    assert "Simulated: no GPU was there" in table and "| wrong | failed: wrong: Made" in table and "| plain (stand-in) |" in table, table
    again = subprocess.run(["tests/gpu/run", "--table", next((work / "out").glob("sim-*.json"))], capture_output=True, text=True)
    assert again.stdout == table, again.stdout + again.stderr


def facts(work):
    """Known products against GPM, the windows and ncu; the driver's own library, where it is at hand."""
    driver = sorted(glob.glob(str(CACHE / "gpu/driver/usr/lib/**/libcuda.so.1"), recursive=True))
    node = os.path.exists("/dev/nvidiactl")
    try:
        _, s = rig(work, "--stage", "driver,windows,counts", "--workloads", "plain", "--few", *(["--driver", driver[0]] if driver else []))
    finally:
        if not node and os.path.exists("/dev/nvidiactl"):
            os.unlink("/dev/nvidiactl")  # the driver's library makes it for root
    d = s["driver"]["data"]
    assert s["driver"]["outcome"] == ("ok" if driver else "skipped"), s["driver"]
    assert not driver or (d["answers"] == d["same"] > 500 and not d["missed"]), d
    said = s["windows"]["data"]["products"][0]
    assert said["grown"]["measured"] > 0 and said["held_up_us_a_window"] > 0, said
    told = [x for p in s["windows"]["data"]["products"] for x in p["counted"] if x["over_2mnk"]]
    assert told and all(x["format"] == "bf16" and x["over_2mnk"] == 1 for x in told), s["windows"]
    assert s["counts"]["data"]["metrics"] == [f"sm__ops_path_tensor_src_{f}" for f in ("bf16_dst_fp32", "fp16", "fp8")], s["counts"]
    w = s["counts"]["data"]["workloads"]["plain"]
    assert w["counted"] == "2468" and w["kernels"] == 3 and w["by_kernel"]["gemm_kernel"]["launches"] == 2, w


def refusals(work):
    """No counters for us: a skip with the reason. A workload that hangs: its stage is cut off and the next one runs."""
    (work / "world").write_text("device GPU-0 no-gpm NVIDIA A100-SXM4-80GB\n")
    out, s = rig(work, "--stage", "gpm,workloads,counts", "--workloads", "silent", "--stage-limit", "18", ok=False, SIM_NCU="refused")
    assert s["gpm"]["outcome"] == "skipped" and "has no GPM" in s["gpm"]["why"], s["gpm"]
    assert s["workloads"]["outcome"] == "timeout" and "its time was up" in s["workloads"]["why"], s["workloads"]
    assert s["counts"]["outcome"] == "skipped" and "ERR_NVGPUCTRPERM" in s["counts"]["why"], s["counts"]


def costs(work):
    """One round: each meter's figure beside the offs around it, and GPM's."""
    _, s = rig(work, "--stage", "gpm,overhead", "--pairs", "1", "--few")
    ratios = s["overhead"]["data"]["ratios"]
    assert {"shape", "launch", "device", "windows", "collector unheard"} <= set(ratios), ratios
    assert all(r["gpt-flash per_s"]["pairs"] >= 1 and r["decode token_ms_p99"]["median"] > 0 for r in ratios.values()), ratios
    # Which probes the process held is seen in its memory. That they go is not asserted: other agents here may probe it as well.
    first, offs = s["overhead"]["data"]["rounds"][0], s["overhead"]["data"]["offs"]
    seen = {c: first[c]["probes"] for c in ("windows", "launch", "shape")}
    assert seen["windows"]["driver"] > 20 and all(x["math"] == 1 for x in seen.values()), seen
    assert all("driver" in o["probes"] and "waited_s" in o["probes"] for o in offs), [o["probes"] for o in offs]
    g = s["gpm"]["data"]
    assert all(p["percents"]["tensor"] == 40 and p["gpm_operations"] > 0 for p in g["products"]), g["products"]
    by_lag = g["fineness"]["by_lag"]
    assert not by_lag[0]["read"] and by_lag[0]["refused"] and by_lag[-1]["read"], by_lag  # 100 ms apart at least


def main():
    need_live()
    if not (BUILD / "simgpu/libcupti.so.13").exists():
        skip("the simulated GPU is not built: run `make tests-build`")
    before = mounts()
    skips()
    pack()
    with tempfile.TemporaryDirectory(prefix="opmeter-gpu-rig-") as tmp:
        work = Path(tmp)
        (work / "world").write_text(WORLD)
        for part in (workloads, facts, costs, refusals):
            part(work)
    assert mounts() <= before, mounts() - before
    assert not glob.glob("/tmp/opmeter-gpu-????????"), glob.glob("/tmp/opmeter-gpu-????????")


main()
