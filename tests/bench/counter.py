#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the collector costs a launch on the simulated GPU, whose launch is a lock and a table: without it, with it while nobody
listens, with an agent at the default interval, and in sessions without a pause. In turns; the least of each, over several
processes, as where a process lies in memory makes more of a difference than all of this."""
import sys

sys.path.insert(0, "tests/lib")
from counter import Rig  # noqa: E402

PROCESSES, ROUNDS, LAUNCHES = 6, 11, 50000

with Rig(listen=False) as unheard, Rig() as heard:
    ns, measured, held_ns = {}, 0, 0
    for _ in range(PROCESSES):
        kinds = {
            "without the collector": unheard.tenant(inject=False),
            "loaded, nobody listens": unheard.tenant(OPMETER_COUNTER_INTERVAL_MS="10000"),
            "listened to, a session in 10 s": heard.tenant(OPMETER_COUNTER_INTERVAL_MS="10000"),
            "listened to, as many sessions as may be": heard.tenant(OPMETER_COUNTER_INTERVAL_MS="1"),
        }
        for _ in range(ROUNDS):
            for k, t in kinds.items():
                ns.setdefault(k, []).append(float(t.tell(f"bench {LAUNCHES}")[0]))
        cost = heard.read()[1][t.pid]
        measured += cost["measured"]
        held_ns += cost["cost_ns"]
        for t in kinds.values():
            t.end()
    base = min(ns["without the collector"])
    print(f"{'a launch, simulated':40} {'ns':>8} {'ratio':>7}")
    for k, v in ns.items():
        print(f"{k:40} {min(v):8.1f} {min(v) / base:7.3f}")
    print(f"one that is measured is held up {held_ns / max(measured, 1) / 1000:.1f} us by us and the simulated profiler "
          f"({measured} measured)")
