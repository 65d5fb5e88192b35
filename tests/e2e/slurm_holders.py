#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real slurmctld and slurmd on loopback: a job that was given a GPU holds that device, although no process of it shows there, and no
longer when it has ended; a controller that is gone changes nothing and is said. The job's cgroup is made here as slurmstepd makes it on
a cgroup v2 host. Needs Debian's slurm-wlm and munge; skips without."""
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

CONF = """ClusterName=opmeter
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={d}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16841
SlurmdPort=16842
StateSaveLocation={d}/state
SlurmdSpoolDir={d}/spool
SlurmctldPidFile={d}/ctld.pid
SlurmdPidFile={d}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
ReturnToService=2
NodeName=gpu07 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:2 State=UNKNOWN
PartitionName=p Nodes=ALL Default=YES State=UP
"""
WORLD = "".join(f"device GPU-{i} gpm NVIDIA H100 80GB HBM3\nactivity {i} 90 40 0 1 0 0 1755\n" for i in range(2))


class Slurm:
    def __init__(self, d):
        self.d, self.procs = d, {}
        (d / "state").mkdir()
        (d / "spool").mkdir()
        (d / "munge.key").write_bytes(os.urandom(1024))
        (d / "munge.key").chmod(0o400)
        (d / "slurm.conf").write_text(CONF.format(d=d, cpus=os.cpu_count(), host=os.uname().nodename.split(".")[0]))
        (d / "gres.conf").write_text("NodeName=gpu07 Name=gpu File=/dev/null\nNodeName=gpu07 Name=gpu File=/dev/zero\n")
        (d / "cgroup.conf").write_text("CgroupPlugin=autodetect\nIgnoreSystemd=yes\n")
        os.environ["SLURM_CONF"] = str(d / "slurm.conf")
        self.start("munged", "-F", "--force", f"--socket={d}/munge.sock", f"--key-file={d}/munge.key", f"--pid-file={d}/munged.pid",
                   f"--log-file={d}/munged.log", f"--seed-file={d}/seed")
        self.until(lambda: (d / "munge.sock").exists(), "munge")
        self.start("slurmctld", "-D", "-c")
        self.start("slurmd", "-D", "-N", "gpu07")
        self.until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%t"), "the node to be idle", 30)

    def start(self, name, *args):
        self.procs[name] = subprocess.Popen([shutil.which(name, path="/usr/sbin:/usr/bin:/sbin"), *args], stdout=open(self.d / f"{name}.out", "w"),
                                            stderr=subprocess.STDOUT)

    def until(self, condition, what, timeout=15):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                for name in self.procs:
                    print(name, (self.d / f"{name}.out").read_text()[-1500:])
                raise AssertionError(f"Slurm: waited for {what}")
            time.sleep(0.2)

    def ask(self, *args):
        return subprocess.run(args, capture_output=True, text=True, timeout=20).stdout

    def end_all(self):
        """The jobs first: their steps are no children of ours."""
        self.ask("scancel", "-u", "root")
        end = time.monotonic() + 10
        while self.ask("squeue", "-h").strip() and time.monotonic() < end:
            time.sleep(0.2)
        for name in list(self.procs)[::-1]:
            self.end(name)
        for cmdline in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"SLURM_CONF={self.d}/".encode() in cmdline.read_bytes() and int(cmdline.parts[2]) != os.getpid():
                    os.kill(int(cmdline.parts[2]), signal.SIGKILL)
            except (OSError, ValueError):
                pass

    def end(self, name):
        p = self.procs.pop(name)
        p.terminate()
        try:
            p.wait(timeout=10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


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
    if not shutil.which("slurmctld", path="/usr/sbin:/usr/bin") or not shutil.which("munged", path="/usr/sbin:/usr/bin"):
        print("skipped: no Slurm here (apt-get install slurm-wlm munge)")
        sys.exit(77)
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
