#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A device that was given to a pod counts against the pod although no process of it shows there: by the kubelet's checkpoint,
which changes at run time; a MIG slice by its own name; by the operator's map; a damaged checkpoint changes nothing and is said. What
nobody holds stays on the site's line."""
import os
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

PORT = 19873
PODS = {"train": "11111111-aaaa-bbbb-cccc-000000000001", "serve": "11111111-aaaa-bbbb-cccc-000000000002",
        "slice": "11111111-aaaa-bbbb-cccc-000000000003"}
WORLD = ("".join(f"device GPU-{i} gpm NVIDIA H100 80GB HBM3\n" for i in range(4)) + "instance 3 5 50 40\n"
         "activity 0 90 40 0 1 0 0 1755\nactivity 1 90 40 0 1 0 0 1755\nactivity 2 90 40 0 1 0 0 1755\n"
         "activity 3 90 40 0 1 0 0 1755\n")


def checkpoint(path, held):
    entries = [{"PodUID": PODS[p], "ContainerName": "c", "ResourceName": "nvidia.com/gpu", "DeviceIDs": {"-1": d}, "AllocResp": ""}
               for p, d in held.items()]
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 1}))
    new.rename(path)


def lows(rig):
    """Executed operations by the last parts of the cgroup's path; None: the site's line."""
    jobs = {e["payload"]["job"]: e["payload"]["path"] for e in rig.export("entries") if e["kind"] == "job"}
    out = {}
    for r in rig.export("readings"):
        if r["meter"] == "device":
            name = (jobs.get(r["job"]) or "site").split("/")[-1]
            out[name] = out.get(name, 0) + int(r["low"])
    return out


def pod(uid):
    return f"kubepods-burstable-pod{uid.replace('-', '_')}.slice"


def metrics():
    page = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5).read().decode()
    return {(m[1], m[2]): float(m[3]) for m in
            re.finditer(r'opmeter_device_holders\{source="(\w+)",state="(\w+)"\} (\S+)', page)}, page


def main():
    need_live()
    with Rig("holders", ["--library", CUDA13 / "libcublasLt.so.13", "--nvml", BUILD / "simgpu/libnvidia-ml.so.1",
                         "--listen", f"127.0.0.1:{PORT}"]) as rig:
        world = rig.dir / "world"
        world.write_text(WORLD)
        os.environ["OPMETER_SIMGPU"] = str(world)
        for uid in PODS.values():
            rig.cgroup(f"kubepods.slice/kubepods-burstable.slice/{pod(uid)}")
        mapped = rig.cgroup("mapped.service")
        root = Path(subprocess.run(["findmnt", "-n", "-o", "TARGET", "-t", "cgroup2"], check=True, capture_output=True,
                                   text=True).stdout.split()[0])
        (rig.dir / "holders.yaml").write_text(f"holders:\n  - {{device: '2', cgroup: /{mapped.relative_to(root)}}}\n")
        state = rig.dir / "kubelet_internal_checkpoint"
        # The slice by its own name, and a pod that is gone holds nothing.
        PODS["gone"] = "11111111-aaaa-bbbb-cccc-00000000dead"
        checkpoint(state, {"train": ["GPU-0"], "slice": ["MIG-GPU-3-5"], "gone": ["GPU-1"]})
        rig.start("--kubelet-devices", state, "--holders", rig.dir / "holders.yaml")
        rig.wait_for(lambda: {pod(PODS["train"]), pod(PODS["slice"]), "mapped.service", "site"} <= set(lows(rig)), "the first samples", 30)
        held, _ = metrics()
        assert held[("kubelet", "held")] == 2 and held[("kubelet", "gone")] == 1 and held[("map", "held")] == 1, held
        # Half a file: what was read before holds on, and it is said where and why.
        state.write_text('{"Data":{"PodDeviceEntries":[{"PodUID":')
        rig.wait_for(lambda: "kubelet_internal_checkpoint" in (rig.dir / "agent.log").read_text(), "the damage to be said")
        before = lows(rig)[pod(PODS["train"])]
        rig.wait_for(lambda: lows(rig)[pod(PODS["train"])] > before, "the holder to hold on")
        assert 'opmeter_device_holder_failures_total{source="kubelet"} 1' in metrics()[1]
        # The device goes to another pod.
        checkpoint(state, {"serve": ["GPU-0"], "slice": ["MIG-GPU-3-5"], "gone": ["GPU-1"]})
        rig.wait_for(lambda: pod(PODS["serve"]) in lows(rig), "the new holder")
        time.sleep(1.5)
        first = lows(rig)
        time.sleep(3)
        last = lows(rig)
        assert last[pod(PODS["train"])] == first[pod(PODS["train"])], "the old holder goes on paying"
        assert last[pod(PODS["serve"])] > first[pod(PODS["serve"])] and last["site"] > first["site"], (first, last)
        rig.stop()
        print({k: f"{v:.2e}" for k, v in last.items()})
        verify = subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], capture_output=True, text=True)
        assert verify.returncode == 0, verify.stdout + verify.stderr
    bad = subprocess.run([OPMETER, "standalone", "--holders", "/nonexistent/holders.yaml", "--dir", "/nonexistent/x"], capture_output=True,
                         text=True)
    assert bad.returncode != 0


main()
