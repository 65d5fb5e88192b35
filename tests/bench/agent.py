#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent costs and how fast a crossing is known. Prints rows of a table; compares nothing with a limit.

    agent.py load       64 processes x 500 shapes, drained each second: CPU and memory of the agent
    agent.py launches   64 processes x 1,000 launches a second
    agent.py speed      a player at full speed: calls per second, metered against unmetered, and calls lost
    agent.py crossing   from the reading that crosses a level to the alert's record in Kafka
"""
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

LT13 = ["--library", CUDA13 / "libcublasLt.so.13"]


def row(name, *cells):
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def cpu_s(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1]) / 1024


def load(processes=64, shapes=500, seconds=20):
    with Rig("bench-load", LT13) as rig:
        run = rig.dir / "shapes.run"
        run.write_text("opmeter-run 1\nname bench\n" + "".join(
            f"p 1 {128 + i} 256 64 {TYPES_BF16} mm 1\n" for i in range(shapes)))
        rig.start("--drain", "1s", "--publish", "15s")
        idle0, t0 = cpu_s(rig.agent.pid), time.monotonic()
        time.sleep(5)
        idle = (cpu_s(rig.agent.pid) - idle0) / (time.monotonic() - t0)
        players = [rig.play(rig.cgroup(f"t{i}"), "--lib-dir", CUDA13, "--run", run, "--rate", "600", "--seconds",
                            seconds + 25) for i in range(processes)]
        rig.wait_for(lambda: len({r["job"] for r in rig.readings()}) >= processes, "all players to play", 120)
        time.sleep(2)
        busy0, t0 = cpu_s(rig.agent.pid), time.monotonic()
        time.sleep(seconds)
        busy = (cpu_s(rig.agent.pid) - busy0) / (time.monotonic() - t0)
        row(f"agent, {processes} processes x {shapes} shapes, 1 s drain", f"{100 * busy:.2f} % of a core",
            f"{rss_mib(rig.agent.pid):.0f} MiB RSS", f"idle {100 * idle:.2f} %, ratio {busy / max(idle, 1e-4):.1f}")
        for p in players:
            p.kill()
            p.wait()


def launches(processes=64, seconds=20):
    """The same for launches: each process launches a kernel of its own, as many a second as a busy training step."""
    driver = BUILD / "simgpu/libcuda.so.1"
    with Rig("bench-launches", ["--library", driver]) as rig:
        rig.start("--drain", "1s", "--publish", "15s")
        own = [subprocess.Popen([BUILD / "simgpu/launcher", driver, rig.cgroup(f"t{i}"), f"kernel_{i}", "11", "2", "128", "64",
                                 str(1000 * (seconds + 40)), "1000"], stdout=subprocess.DEVNULL) for i in range(processes)]
        rig.procs += own
        rig.wait_for(lambda: len({r["job"] for r in rig.readings() if r["meter"] == "launch"}) >= processes, "all to launch", 60)
        busy0, t0 = cpu_s(rig.agent.pid), time.monotonic()
        time.sleep(seconds)
        busy = (cpu_s(rig.agent.pid) - busy0) / (time.monotonic() - t0)
        row(f"agent, {processes} processes x 1,000 launches/s, 1 s drain", f"{100 * busy:.2f} % of a core",
            f"{rss_mib(rig.agent.pid):.0f} MiB RSS", "launches are read every 5 s")
        for p in own:
            p.kill()
            p.wait()


def rate(rig, seconds=4):
    p = rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,512,256,128,{TYPES_BF16}", "--seconds", seconds,
                 "--wait-ms", "300")
    r = rig.finish(p)
    return int(r["calls"]) / seconds, int(r["calls"])


def speed():
    with Rig("bench-speed", LT13) as rig:
        plain, _ = rate(rig)
        rig.start()
        metered, calls = rate(rig)
        rig.wait_for(lambda: rig.total("calls") >= calls, "the last drain")
        row("player at full speed, one thread", f"{metered:,.0f} calls/s metered", f"{plain:,.0f} unmetered: ratio {metered / plain:.2f}",
            f"{1e6 / metered - 1e6 / plain:.2f} us a call; {calls - rig.total('calls')} of {calls} calls lost")


def crossing(tenants=24):
    with Kafka(19592) as kafka, Rig("bench-cross") as rig:
        rules = "".join(f'  - match: {{path: "**/{rig.tag}/t{i}/**"}}\n    tenant: t{i}\n    phase: training\n'
                        "    declared: {by: bench, date: 2026-11-01}\n" for i in range(tenants))
        (rig.dir / "tenants.yaml").write_text("rules:\n" + rules)
        rig.options = [*LT13, "--tenants", rig.dir / "tenants.yaml", "--brokers", kafka.brokers, "--create-topics"]
        rig.start("--drain", "1s", "--publish", "1s")
        players = [rig.play(rig.cgroup(f"t{i}/j"), "--lib-dir", CUDA13, "--product", f"1,8192,8192,16384,{TYPES_BF16}",
                            "--calls", 4700, "--rate", 150 + 10 * i, "--wait-ms", "300") for i in range(tenants)]
        for p in players:
            rig.finish(p)
        time.sleep(3)
        rig.stop()
        read_at = {}
        for e in rig.export("entries"):
            for r in e["payload"] if e["kind"] == "readings" else []:
                read_at.setdefault(r["job"], []).append((int(r["exact"]), r["to"]))
        jobs = {e["payload"]["path"].split("/")[-2]: e["payload"]["job"] for e in rig.export("entries")
                if e["kind"] == "job" and rig.tag in (e["payload"]["path"] or "")}
        late = []
        for rec in kafka.records("opmeter.alerts.v1"):
            v = rec["value"]
            if v["type"] != "opmeter.alert.level.v1" or v["subject"].split("/")[0] not in jobs:
                continue
            figure = {"notice": 50, "warn": 75, "urgent": 90, "exceeded": 100}[v["data"]["level"]] * 10**14
            to = next(t for ops, t in sorted(read_at[jobs[v["subject"].split("/")[0]]]) if ops >= figure)
            whole, frac = to.rstrip("Z").split(".")
            at = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0." + frac)
            late.append(rec["timestamp_ms"] / 1000 - at)
        late.sort()
        row("crossing: from the reading to the record in Kafka", f"p50 {1000 * statistics.median(late):.0f} ms",
            f"p99 {1000 * late[int(0.99 * (len(late) - 1))]:.0f} ms", f"{len(late)} crossings; drain and publication each second")


def main():
    need_live()
    for what in sys.argv[1:] or ["speed", "load", "launches", "crossing"]:
        {"load": load, "launches": launches, "speed": speed, "crossing": crossing}[what]()


main()
