#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tenant's own profiler goes first. One that is there already is met once and then left alone; one that comes later finds
the one place for a subscriber free, since the collector is subscribed for a moment only; cuptiFinalize() by the tenant, at
any time, breaks nothing."""
import json
import sys
import time

sys.path.insert(0, "tests/lib")
from counter import REASONS, Rig, check  # noqa: E402

with Rig() as rig:
    # First: subscribed before the collector looks.
    t = rig.tenant(inject=False)
    t.tell("subscribe")
    t.tell(f"inject {rig.so}")
    t.tell("start gemm 3")
    rig.wait(lambda _, p: p.get(t.pid, {}).get("state") == "yielded" and p[t.pid]["reason"] == REASONS["subscriber"])
    seen = json.loads(t.tell("state")[0])
    check(seen["subscribes"] == 2 and seen["subscriber"], f"it asked once, the tenant's is there: {seen}")
    time.sleep(0.5)
    check(json.loads(t.tell("state")[0])["subscribes"] == 2, "it asked again at once")
    check(t.tell("unsubscribe") == [] and t.end() == 0, "the tenant ends well")

    # Later: most moments are free. A profiler that asks again after a failure, as it would, gets in.
    t = rig.tenant(OPMETER_COUNTER_INTERVAL_MS="100")
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("start gemm 3")
    rig.wait(lambda rows, p: p.get(t.pid, {}).get("measured", 0) > 3)
    failures = 0
    for _ in range(200):
        try:
            t.tell("subscribe")
            break
        except RuntimeError:
            failures += 1
            time.sleep(0.01)
    else:
        check(False, "the tenant's profiler never got in")
    rig.wait(lambda _, p: p[t.pid]["state"] == "yielded")
    measured = rig.read()[1][t.pid]["measured"]
    t.tell("run 500 1 gemm 3")
    after = rig.read()[1][t.pid]
    check(after["measured"] == measured, "it measured while the tenant profiled")
    s = json.loads(t.tell("state")[0])
    check(s["enables"] == s["disables"] and s["violations"] == 0, f"{s}")
    t.tell("unsubscribe")
    check(t.end() == 0, "the tenant ends well")

    # The tenant takes all of CUPTI down, again and again, in the middle of windows too: the collector's
    # handles are gone then, and its calls are refused.
    t = rig.tenant()
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("start gemm 3")
    for _ in range(60):
        t.tell("finalize")
        time.sleep(0.02)
    launched = json.loads(t.tell("state")[0])["launched"]
    t.tell("run 300 1 gemm 3")
    check(json.loads(t.tell("state")[0])["launched"] > launched, "launches go on")
    check(t.end() == 0, "the tenant ends well")
    print(f"yielded; {failures} refusals before the tenant's profiler got in")
