#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No fault of the collector's reaches the tenant, however it lives and ends: unloaded, forked, with contexts that end, many
threads, captures, failing launches and graphs in its windows; ended by exit() or SIGKILL in the middle of one."""
import json
import signal
import sys
import time

sys.path.insert(0, "tests/lib")
from counter import BF16, Rig, check, fnv  # noqa: E402


def state(t):
    return json.loads(t.tell("state")[0])


with Rig() as rig:
    measured = lambda t, n: (lambda rows, p: p.get(t.pid, {}).get("measured", 0) >= n)
    gemm = lambda t: [r for r in rig.read()[0] if r["pid"] == t.pid and r["name"] == fnv("gemm") and r["metric"] & 0xff == BF16]

    # Unloaded: it stays, as the driver may still call it, and goes on.
    t = rig.tenant()
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("unload")
    t.tell("start gemm 3")
    rig.wait(measured(t, 8))
    # A child has no thread of ours; what it launches is its own, and it ends as it would.
    check(t.tell("fork") == ["child 7"], "a forked child ends as it would")
    # Contexts end under it.
    for _ in range(25):
        t.tell("destroy")
        time.sleep(0.03)
    before = rig.read()[1][t.pid]["measured"]
    rig.wait(measured(t, before + 8))
    check(state(t)["violations"] == 0, f"a profiler outlived its context, or rules were broken: {state(t)}")
    check(t.end() == 0, "ends well")

    # Threads that launch at once: windows with another's work in them are discarded, so what is kept is exact.
    t = rig.tenant()
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("kernel other src_bf16_dst_fp32 77 0")
    t.tell("start other 5")
    for _ in range(4):
        t.tell("run 600 6 gemm 3")
    p = rig.read()[1][t.pid]
    check(p["discarded"] > 0, f"no window was disturbed: {p}")
    rows = [r for r in rig.read()[0] if r["pid"] == t.pid and r["metric"] & 0xff == BF16]
    check(rows and all(r["mean"] in (1000, 77) and r["variance"] == 0 for r in rows), f"disturbed windows were kept: {rows}")
    check(state(t)["violations"] == 0 and t.end() == 0, "ends well")

    # Launches that a stream captures, that fail, or that are graphs: none is a measurement, no capture breaks.
    for how in ("captured", "failing", "graph"):
        t = rig.tenant()
        t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
        for _ in range(3):
            t.tell(f"run 400 1 gemm 3 {how}")
        check(not gemm(t), f"{how}: {gemm(t)}")
        check(rig.read()[1].get(t.pid, {}).get("sessions", 0) > 1, f"{how}: no session ran")
        check(state(t)["violations"] == 0 and t.end() == 0, f"{how}: ends well")

    # Ended in a window: 30 ms long ones, so that most ends are in one.
    ends = {"exit": 0, "kill": 0}
    for i in range(10):
        t = rig.tenant(OPMETER_COUNTER_INTERVAL_MS="1", OPMETER_COUNTER_SEED=str(i))
        t.tell("start gemm 3 slow")
        rig.wait(lambda rows, p: p.get(t.pid, {}).get("sessions", 0) > 0)
        until = time.monotonic() + 5
        while True:
            s = state(t)
            if s["starts"] > s["stops"] or time.monotonic() > until:
                break
        ends["exit" if i % 2 else "kill"] += s["starts"] > s["stops"]
        if i % 2:
            t.begin("exit")
            check(t.end() == 0, "exit() in a window")
        else:
            t.p.kill()
            check(t.p.wait(timeout=10) == -signal.SIGKILL, "killed")
    check(min(ends.values()) > 2, f"too few ends were in a window: {ends}")
    t = rig.tenant()
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("start gemm 3")
    rig.wait(measured(t, 3))
    check(t.end() == 0, "the next one is measured")
    print(f"ended in a window: {ends}")
