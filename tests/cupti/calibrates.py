#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four tenants in cgroups of their own measure the same kernel; a fifth claims, of a million launches of it, that they do a
hundredth of the work. The calibration is what the four measured; the fifth is a finding, under its own cgroup."""
import json
import os
import sys

sys.path.insert(0, "tests/lib")
from counter import BF16, GH100, Rig, check, fnv  # noqa: E402

mounts = [x.split()[4] for x in open("/proc/self/mountinfo") if " - cgroup2 " in x]
if not mounts:
    print("SKIP: no cgroup2 is mounted")
    sys.exit(77)
groups = []


def own_cgroup(t):
    """The cgroup's id. Before its first reading: that is when the kernel looks."""
    path = f"{mounts[0]}/opmeter-counter-{os.getpid()}-{len(groups)}"
    os.mkdir(path)
    groups.append(path)
    with open(f"{path}/cgroup.procs", "w") as f:
        f.write(str(t.pid))
    return os.stat(path).st_ino


try:
    with Rig() as rig:
        honest = []
        for i in range(4):
            t = rig.tenant(inject=False, OPMETER_COUNTER_SEED=str(i))
            own_cgroup(t)
            t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
            t.tell(f"inject {rig.so}")
            t.tell("start gemm 3")
            honest.append(t)
        ours = lambda rows: [r for r in rows if r["name"] == fnv("gemm") and r["metric"] & 0xff == BF16]
        rig.wait(lambda rows, _: len(ours(rows)) == 4)
        evil = rig.tenant(inject=False)
        forger = own_cgroup(evil)
        evil.tell(f"forge {rig.so} as={fnv('gemm')}")
        check(len(ours(rig.read()[0])) == 5, "the forged claim is of the same kernel")
        said = [json.loads(x) for x in rig.agent.tell("calibrate")]
        c = [x for x in said if x.get("calibrated") == fnv("gemm") and x["metric"] & 0xff == BF16 and x["metric"] >> 24 == GH100]
        check(len(c) == 1 and c[0]["mean"] == 1000 and c[0]["verdict"] == 2 and c[0]["owners"] == 4 and c[0]["rejected"] == 1,
              f"calibration: {c}")
        f = [x for x in said if "finding" in x]
        check(f == [{"finding": forger, "claimed": 10, "expected": 1000}], f"findings: {f}")
        for t in honest + [evil]:
            check(t.end() == 0, "ends well")
finally:
    for g in groups:
        os.rmdir(g)
