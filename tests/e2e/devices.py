#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The device meter in the whole chain, on the simulated NVML: what a tenant asks for counts in the lower bound where its
device was busy; where the device stood still it stays in the upper bound only and a finding says so; work of a device
that no meter explains widens the bound of whoever holds the device, and is a finding too. What a tenant asks for beyond
what the node's devices can do in that time is in the upper bound only, so that no fleet has to refuse its register."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

TENANTS = """rules:
  - match: {path: "**/busy/**"}
    tenant: busy-tenant
    phase: training
    declared: {by: "a test", date: 2026-11-01}
  - match: {path: "**/idle/**"}
    tenant: idle-tenant
    phase: training
    declared: {by: "a test", date: 2026-11-01}
  - match: {path: "**/hidden/**"}
    tenant: hidden-tenant
    phase: training
    declared: {by: "a test", date: 2026-11-01}
"""
WORLD = "".join(f"device GPU-{i} gpm NVIDIA H100 80GB HBM3\n" for i in range(3))


def top(rig):
    out = subprocess.run([OPMETER, "top", "--once", "--json", "--dir", rig.ledger], check=True, capture_output=True,
                         text=True).stdout
    return {t["tenant"]: t for t in json.loads(out)}


def samples(rig):
    return sum(int(r["calls"]) for r in rig.readings() if r["meter"] == "device")


def device_high(rig, below):
    return sum(int(r["high"]) for r in rig.readings(below) if r["meter"] == "device")


def check_forger(rig, asked, causes):
    """2^63 operations a call, some a second: past what three devices can do in a year. Its register stays one that is believed."""
    rows = [r for r in rig.readings("forger") if r["meter"] == "shape"]  # a day ends in between, now and then
    row = {field: sum(int(r[field]) for r in rows) for field in ("exact", "low", "high")}
    peak, seconds = 3 * 2.3e15, 3600 + 1800  # more than data/peaks.csv gives an H100; an hour and what may be queued
    low, high = row["exact"] + row["low"], row["exact"] + row["high"]
    assert asked > 100 * peak * seconds, asked
    assert 2**63 < low < peak * seconds, row
    assert low < high < 8 * peak * seconds, row
    assert any("more was asked for than the node's devices can do" == c and "/forger/" in s for c, s in causes), causes


def main():
    need_live()
    os.environ["OPMETER_SIMGPU"] = "/nonexistent"
    with Rig("devices", ["--library", CUDA13 / "libcublasLt.so.13", "--nvml", BUILD / "simgpu/libnvidia-ml.so.1"]) as rig:
        (rig.dir / "tenants.yaml").write_text(TENANTS)
        world = rig.dir / "world"
        world.write_text(WORLD)
        os.environ["OPMETER_SIMGPU"] = str(world)
        rig.start("--tenants", rig.dir / "tenants.yaml")
        play = {}
        for name in ("busy", "idle"):
            play[name] = rig.play(rig.cgroup(f"{name}/job"), "--lib-dir", CUDA13, "--product", f"1,641,257,131,{TYPES_BF16}",
                                  "--seconds", "6", "--rate", "2000", "--wait-ms", "1000")
        # Forged products: before the sampler's first word nothing is read, so they are held to the devices that there are.
        forger = rig.play(rig.cgroup("forger/job"), "--lib-dir", CUDA13, "--product", f"1,2097152,2097152,1048576,{TYPES_BF16}",
                          "--seconds", "4", "--rate", "1000", "--wait-ms", "1000")
        hidden = subprocess.Popen(["sleep", "60"])
        rig.procs.append(hidden)
        (rig.cgroup("hidden/job") / "cgroup.procs").write_text(str(hidden.pid))
        world.with_suffix(".new").write_text(
            WORLD + "activity 0 90 40 0 1 0 0 1755\nactivity 2 90 40 0 1 0 0 1755\n"
            f"process 0 {play['busy'].pid}\nprocess 1 {play['idle'].pid}\nprocess 2 {hidden.pid}\n")
        world.with_suffix(".new").rename(world)
        asked = {name: int(rig.finish(p)["ops"]) for name, p in play.items()}
        asked_forger = int(rig.finish(forger)["ops"])
        time.sleep(1.5)
        # Switched off by itself: nothing is sampled, and the time is bounded by the peak when it is on again.
        subprocess.run([OPMETER, "off", "--meter", "device", "--pin-dir", rig.pins], check=True, stdout=subprocess.DEVNULL)
        time.sleep(1.2)
        before = samples(rig)
        time.sleep(2.2)
        off_was_off = samples(rig) == before
        subprocess.run([OPMETER, "on", "--meter", "device", "--pin-dir", rig.pins], check=True, stdout=subprocess.DEVNULL)
        rig.wait_for(lambda: samples(rig) > before, "samples after it was switched on")
        time.sleep(1.2)
        # An agent that is away: the time is bounded by the peak, too.
        high, before = device_high(rig, "hidden"), samples(rig)
        rig.kill()
        time.sleep(3)
        (rig.dir / "agent.log").write_text("")
        rig.start("--tenants", rig.dir / "tenants.yaml")
        rig.wait_for(lambda: samples(rig) > before, "samples after the restart")
        time.sleep(1.2)
        rig.stop()
        grown = device_high(rig, "hidden") - high
        assert grown > 3 * 2e15, f"{grown} for more than three seconds without an agent"
        t = top(rig)
        busy, idle, hid = (t[f"{n}-tenant"] for n in ("busy", "idle", "hidden"))
        print(f"asked {asked}\nbusy {busy}\nidle {idle}\nhidden {hid}")
        assert int(busy["training"]["low"]) == asked["busy"] <= int(busy["training"]["high"]) and not busy["attempted"]
        assert busy["contradicted"] == "0" and busy["bounded"]
        assert idle["training"]["low"] == "0" and int(idle["training"]["high"]) == asked["idle"] == int(idle["contradicted"])
        assert hid["training"]["low"] == "0" and int(hid["training"]["high"]) > 1e14 and int(hid["unattributed"]) > 1e14
        # More than three seconds of one device's peak, 2.2e15 a second, for the time that nobody looked.
        assert int(hid["training"]["high"]) > 3 * 2e15, hid
        causes = {(e["payload"]["data"]["cause"], e["payload"]["subject"]) for e in rig.export("entries")
                  if e["kind"] == "alert" and e["payload"]["type"] == "opmeter.alert.data.v1"}
        assert ("work was asked for that its devices cannot have done", "idle-tenant/unassigned") in causes, causes
        assert ("its devices have done work that no meter explains", "hidden-tenant/unassigned") in causes, causes
        check_forger(rig, asked_forger, causes)
        assert not any(s.startswith("busy-tenant") and "asked" in c for c, s in causes), causes
        meters = {r["meter"] for r in rig.readings()}
        assert {"shape", "device", "allocation"} <= meters, meters
        assert off_was_off, "samples were taken while the device meter was off"
        verify = subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], capture_output=True, text=True)
        assert verify.returncode == 0, verify.stdout + verify.stderr


main()
