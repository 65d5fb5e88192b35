#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the collector may not or cannot do is said to the agent, and to nobody else: privileges, MIG, confidential computing,
MPS, vGPU, an unknown chip, no libcupti, one that is too old, memory that runs out, counter data that cannot be had. The
tenant's launches all succeed, nothing is printed, and a refusal that is for good is not tried again."""
import json
import shutil
import sys

sys.path.insert(0, "tests/lib")
from counter import B, REASONS, Rig, check  # noqa: E402

ENABLE = "SIMCUPTI_FAULT=cuptiRangeProfilerEnable"
CASES = [  # environment, reason, state, for good
    (f"{ENABLE}:35", "privileges", "stopped", True),
    (f"{ENABLE}:43", "mig", "stopped", True),
    (f"{ENABLE}:41", "confidential", "stopped", True),
    ("SIMCUPTI_DISABLED=confidential", "confidential", "stopped", True),
    ("SIMCUPTI_DISABLED=vgpu", "virtual", "stopped", True),
    ("SIMGPU_MPS=1", "mps", "stopped", True),
    ("SIMCUPTI_CHIP=GX999", "unknown-chip", "stopped", True),
    (f"{ENABLE}:8", "memory", "idle", False),
    (f"{ENABLE}:26", "busy", "yielded", False),
    ("OPMETER_COUNTER=off", "off", "stopped", True),
    # From the third launch on: what was measured before stays.
    ("SIMCUPTI_FAULT=cuptiRangeProfilerStart:35@3", "privileges", "stopped", True),
    ("SIMCUPTI_FAULT=cuptiRangeProfilerSetConfig:12@3", "memory", "idle", False),
]

with Rig() as rig:
    said = {}
    for fault, reason, state, for_good in CASES:
        name, value = fault.split("=", 1)
        t = rig.tenant(**{name: value})
        t.tell("start gemm 3")
        said[t.pid] = (t, fault, reason, state)
    # Counter data that cannot be had: windows are lost, not the collector.
    lossy = rig.tenant(SIMCUPTI_FAULT="cuptiRangeProfilerDecodeData:8")
    lossy.tell("start gemm 3")
    # A process without libcupti, on a system without; and one whose libcupti has no range profiler. The simulated launches
    # come from a copy under another name.
    (rig.dir / "lib").mkdir()
    shutil.copy(B / "simgpu/libcuda.so.1", rig.dir / "lib")
    for name, reason, state in (("none", "no-library", "idle"), ("old", "old-library", "stopped")):
        env = {"OPMETER_CUPTI_LIBRARY": str(B / "simgpu/libcupti_old.so")} if name == "old" else {}
        t = rig.tenant(TENANT_CUPTI=str(B / "simgpu/libcupti_hidden.so"), LD_LIBRARY_PATH=str(rig.dir / "lib"), **env)
        t.tell("start gemm 3")
        said[t.pid] = (t, name, reason, state)

    def all_said(_, processes):
        return all(pid in processes and processes[pid]["reason"] == REASONS[r] and processes[pid]["state"] == s
                   for pid, (_t, _f, r, s) in said.items()) and processes.get(lossy.pid, {}).get("dropped", 0) > 2
    try:
        rig.wait(all_said, 15)
    except AssertionError:
        processes = rig.read()[1]
        for pid, (_, fault, reason, state) in said.items():
            p = processes.get(pid, {})
            print(fault, "said", p.get("state"), p.get("reason"), "wanted", state, REASONS[reason])
        raise
    before = {pid: json.loads(t.tell("state")[0]) for pid, (t, *_) in said.items()}
    lossy.tell("run 500 1 gemm 3")
    for pid, (t, fault, reason, _) in said.items():
        after = json.loads(t.tell("state")[0])
        check(after["launched"] > before[pid]["launched"], f"{fault}: the tenant goes on")
        check(after["subscribes"] == before[pid]["subscribes"], f"{fault}: tried again within half a second")
        check(not after["subscriber"], f"{fault}: a subscriber is left")
        check(after["violations"] == 0, f"{fault}: rules broken: {after}")
        check(after["enables"] - after["disables"] in (0, 1 if "Enable" in fault else 0), f"{fault}: {after}")
        check(t.end() == 0, f"{fault}: the tenant ends well")
    rows, processes = rig.read()
    check(not [r for r in rows if r["pid"] == lossy.pid], "no reading without data")
    check(processes[lossy.pid]["state"] == "idle" and processes[lossy.pid]["reason"] == 0, f"{processes[lossy.pid]}")
    check(lossy.end() == 0, "lossy ends well")
    print(f"{len(said)} refusals said")
