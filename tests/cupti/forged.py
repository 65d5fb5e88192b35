#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hostile process calls the probe site with readings of its own making: absurd, negative, decreasing, contradicting, at a
pointer to nowhere, a flood. Each is a loss of its own kind, none is kept, and no other process's room or readings suffer.
What contradicts nothing is kept as what it is: a claim of that process (core/calibration.h judges it)."""
import sys

sys.path.insert(0, "tests/lib")
from counter import LOST, Rig, check, fnv  # noqa: E402

QUOTA = 100
CASES = [("absurd", "absurd"), ("negative", "absurd"), ("deviation", "absurd"), ("metric", "absurd"), ("version", "version"),
         ("pointer", "read"), ("decreasing", "decreasing"), ("shrinking", "decreasing"), ("jump", "decreasing")]

with Rig(quota=QUOTA) as rig:
    honest = rig.tenant()
    honest.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    honest.tell("start gemm 3")
    evil = rig.tenant(inject=False)
    evil.tell(f"forge {rig.so} plain")
    mine = lambda: [r for r in rig.read()[0] if r["pid"] == evil.pid]
    check(len(mine()) == 1 and mine()[0]["mean"] == 1000, f"a plain claim is kept, under its own process: {mine()}")
    lost = dict.fromkeys(LOST, 0)
    for what, cause in CASES:
        evil.tell(f"forge {rig.so} {what}")
        lost[cause] += 1
        got = dict(zip(LOST, rig.read()[1][evil.pid]["lost"]))
        check(got == lost, f"{what} is {cause}: {got}")
        check(len(mine()) == 1 and mine()[0]["count"] == 2 and mine()[0]["sum"] == 2000, f"{what} changed what is kept: {mine()}")
    evil.tell(f"forge {rig.so} flood")
    process = rig.read()[1][evil.pid]
    # 1000 geometries more, of which 99 fit; the last call repeats the last one.
    check(process["signatures"] == QUOTA and len(mine()) == QUOTA, f"quota: {process}")
    check(dict(zip(LOST, process["lost"]))["quota"] == 1001 - (QUOTA - 1), f"refused signatures are counted: {process}")
    rig.agent.tell("off")
    evil.tell(f"forge {rig.so} plain")
    check(dict(zip(LOST, rig.read()[1][evil.pid]["lost"]))["off"] == 1, "off: nothing is read")
    rig.agent.tell("on")
    gemm = lambda rows, _: [r for r in rows if r["pid"] == honest.pid and r["name"] == fnv("gemm") and r["mean"] == 1000]
    rig.wait(gemm)
    check(all(n == 0 or LOST[i] == "off" for i, n in enumerate(rig.read()[1][honest.pid]["lost"])), "the honest one lost nothing")
    rig.agent.tell(f"forget {evil.pid}")
    rows, processes = rig.read()
    check(evil.pid not in processes and not [r for r in rows if r["pid"] == evil.pid], "forgotten")
    check(gemm(rows, processes), "and nobody else")
    check(evil.end() == 0 and honest.end() == 0, "both end well")
