#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real slurmctld and slurmd on loopback: a job that was given a GPU holds that device, although no process of it shows there, and no
longer when it has ended; a controller that is gone changes nothing and is said. The job's cgroup is made here as slurmstepd makes it on
a cgroup v2 host. Needs Debian's slurm-wlm and munge; skips without."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
from slurm import *

WORLD = "".join(f"device GPU-{i} gpm NVIDIA H100 80GB HBM3\nactivity {i} 90 40 0 1 0 0 1755\n" for i in range(2))


def site_and_job(rig, job):
    jobs = {e["payload"]["job"]: e["payload"]["path"] for e in rig.export("entries") if e["kind"] == "job"}
    out = {"job": 0, "site": 0}
    for r in rig.export("readings"):
        path = jobs.get(r["job"]) or ""
        if r["meter"] == "device":
            out["job" if path.endswith(f"job_{job}") else "site"] += int(r["low"])
    return out


def main():
    need_live()
    need_slurm()
    with Rig("slurm", ["--library", CUDA13 / "libcublasLt.so.13", "--nvml", BUILD / "simgpu/libnvidia-ml.so.1",
                       "--slurm-node", "gpu07"]) as rig:
        slurm = Slurm(rig.dir)
        try:
            world = rig.dir / "world"
            world.write_text(WORLD)
            os.environ["OPMETER_SIMGPU"] = str(world)
            # A name that looks like devices of its own: it may only add to what the job holds.
            job = slurm.ask("sbatch", "--parsable", "--gres=gpu:1", "-n1", "-J", "x JOB_GRES=gpu:0", "-o", "/dev/null", "--wrap",
                            "sleep 120").strip()
            slurm.until(lambda: "RUNNING" in slurm.ask("squeue", "-h", "-j", job, "-o", "%T"), "the job to run")
            print(next(w for w in slurm.ask("scontrol", "-o", "-d", "show", "job", job).split() if w.startswith("GRES=")))
            group = rig.cgroup(f"system.slice/slurmstepd.scope/job_{job}")
            rig.start()
            rig.wait_for(lambda: site_and_job(rig, job)["job"] > 0, "the job to hold its device", 30)
            # Its controller is gone for a while: what was said holds on.
            slurm.end("slurmctld")
            rig.wait_for(lambda: "Slurm did not answer" in (rig.dir / "agent.log").read_text(), "the silence to be said", 60)
            before = site_and_job(rig, job)
            rig.wait_for(lambda: site_and_job(rig, job)["job"] > before["job"], "the holder to hold on")
            slurm.start("slurmctld", "-D")
            slurm.until(lambda: job in slurm.ask("squeue", "-h", "-o", "%A"), "the controller to be back", 30)
            # The job ends, and its cgroup with it: the device is nobody's.
            slurm.ask("scancel", job)
            group.rmdir()
            time.sleep(12)
            first = site_and_job(rig, job)
            time.sleep(3)
            last = site_and_job(rig, job)
            print(first, last)
            assert last["job"] == first["job"] and last["site"] > first["site"], (first, last)
            rig.stop()
        finally:
            slurm.end_all()


main()
