#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""While nobody listens the collector does nothing: no libcupti is opened, nothing is subscribed. It begins when an agent
comes, stops when it lets go, and goes on while an agent that left its links is away."""
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, "tests/lib")
from counter import Rig, check  # noqa: E402


def state(t):
    return json.loads(t.tell("state")[0])


def other_agents():
    """Agents of other clones on this machine, which listen to every collector that is mapped."""
    names = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.append(comm.read_text().strip())
        except OSError:  # ended meanwhile
            pass
    return "opmeter" in names


with Rig(listen=False) as rig:
    others = other_agents()
    t = rig.tenant()
    # One that has no libcupti of its own: the collector would have to open it.
    t.tell("kernel gemm src_bf16_dst_fp32 1000 0")
    t.tell("start gemm 3")
    mine = state(t)["subscribes"]
    time.sleep(2.5)
    if others or other_agents():
        print("SKIP: another agent runs on this machine, and listens too")
        sys.exit(77)
    check(state(t)["subscribes"] == mine == 0, f"subscribed with nobody listening: {state(t)}")
    threads = len(list(Path(f"/proc/{t.pid}/task").iterdir()))
    check(threads == 3, f"{threads} threads: the tenant has two, the collector one")
    rig.listen()
    rig.wait(lambda rows, p: p.get(t.pid, {}).get("measured", 0) > 3)
    # Links that stay keep it going without an agent.
    rig.agent.tell("leave")
    check(rig.agent.end() == 0, "the agent ends")
    before = state(t)["starts"]
    time.sleep(0.5)
    check(state(t)["starts"] > before, "it stopped although links are there")
    rig.listen()
    rig.wait(lambda rows, p: p[t.pid]["measured"] > 10)
    rig.agent.tell("release")
    for _ in range(12):  # the kernel detaches in its own time, and a session may have begun
        before = state(t)["subscribes"]
        time.sleep(1)
        if state(t)["subscribes"] == before:
            break
    else:
        check(False, "it goes on after release")
    rig.agent.tell("attach")
    rig.wait(lambda rows, p: p[t.pid]["measured"] > 0 and state(t)["subscribes"] > before)
    check(state(t)["violations"] == 0 and t.end() == 0, "ends well")
