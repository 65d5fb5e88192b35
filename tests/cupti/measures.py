#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the collector hands over is what the (simulated) hardware counted: per kernel, geometry and metric, with the count,
mean and variance that the kernels have; the kernel adds process and cgroup. Nothing is left: no subscriber, no profiler."""
import json
import os
import sys
import time

sys.path.insert(0, "tests/lib")
from counter import BF16, GH100, Rig, check, fnv  # noqa: E402

with Rig() as rig:
    t = rig.tenant()
    t.tell("kernel gemm_a src_bf16_dst_fp32 1000000 0")
    t.tell("kernel gemm_b src_bf16_dst_fp32 5000 300")
    t.tell("kernel gemm_b src_fp64 70 0")
    t.tell("run 3000 1 warm 7")
    step = lambda: (t.tell("run 400 1 gemm_a 11"), t.tell("run 400 1 gemm_b 12"))
    metric = lambda r: (r["metric"] >> 24, r["metric"] & 0xff, r["metric"] >> 8 & 0xff, r["metric"] >> 16 & 0x7f)
    pick = lambda rows, name, format: [r for r in rows if r["name"] == fnv(name) and r["metric"] & 0xff == format]

    def enough(rows, _):
        a, b, c = pick(rows, "gemm_a", BF16), pick(rows, "gemm_b", BF16), pick(rows, "gemm_b", 1)
        return rows if a and b and c and a[0]["count"] > 3 and b[0]["count"] > 40 else None

    rows = rig.wait(enough, 60, step)
    a, b, c = pick(rows, "gemm_a", BF16), pick(rows, "gemm_b", BF16), pick(rows, "gemm_b", 1)
    check(len(a) == len(b) == len(c) == 1, "one row for a kernel, geometry and metric")
    a, b, c = a[0], b[0], c[0]
    check(a["grid"] == [11, 2, 1] and a["block"] == [128, 1, 1] and a["shared"] == 64, f"geometry: {a}")
    check(metric(a) == (GH100, BF16, 0, 1), f"metric: {metric(a)}")
    check(a["mean"] == 1000000 and a["variance"] == 0 and a["sum"] == 1000000 * a["count"], f"constant kernel: {a}")
    # Launches of gemm_b have 4700, 5000 or 5300 operations, chosen by chance: variance 60000.
    error = (60000 / b["count"]) ** 0.5
    check(abs(b["mean"] - 5000) < 5 * error, f"mean {b['mean']} of {b['count']}, error {error}")
    check(25000 < b["variance"] < 95000, f"variance {b['variance']}")
    check(c["mean"] == 70, f"a second format of the same kernel: {c}")
    fp16 = pick(rows, "gemm_a", 5)
    check(all(r["mean"] == 0 and metric(r)[3] == 3 for r in fp16), f"parts: {fp16}")
    warm = pick(rows, "warm", BF16)
    check(not warm or warm[0]["mean"] == 0, f"a kernel without operations has none: {warm}")
    process = rig.read()[1][t.pid]
    check(process["lost"] == [0] * 6 and process["chip"] == GH100 and process["cupti"] == 130001, f"process: {process}")
    cgroup = [line.split(":", 2)[2].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")]
    mounts = [x.split()[4] for x in open("/proc/self/mountinfo") if " - cgroup2 " in x]
    if cgroup and mounts:
        check(a["cgroup"] == os.stat(mounts[0] + cgroup[0]).st_ino, f"cgroup {a['cgroup']}")
    rig.agent.tell("release")
    for _ in range(200):  # a session that has begun ends
        s = json.loads(t.tell("state")[0])
        if not s["subscriber"] and s["enables"] == s["disables"]:
            break
        time.sleep(0.05)
    check(not s["subscriber"], f"a subscriber is left: {s}")
    check(s["violations"] == 0, f"the collector broke CUPTI's rules: {s}")
    check(s["starts"] == s["stops"] and s["enables"] == s["disables"], f"what is begun is ended: {s}")
    check(t.end() == 0, "the tenant ends well")
    print(f"{process['sessions']} sessions, {process['measured']} launches measured, {process['discarded']} discarded, "
          f"{s['launched']} launched")
