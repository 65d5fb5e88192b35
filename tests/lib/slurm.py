# SPDX-License-Identifier: Apache-2.0
"""Real munged, slurmctld and slurmd on loopback, in a directory; without cgroup controllers, which Slurm here could not have."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from opm import skip
from identity import free_port

CONF = """ClusterName=opmeter
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={d}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
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


def need_slurm():
    if not all(shutil.which(p, path="/usr/sbin:/usr/bin") for p in ("slurmctld", "munged", "slurmd")):
        skip("no Slurm here (apt-get install slurm-wlm munge)")


class Slurm:
    def __init__(self, d):
        self.d, self.procs = d, {}
        (d / "state").mkdir()
        (d / "spool").mkdir()
        (d / "munge.key").write_bytes(os.urandom(1024))
        (d / "munge.key").chmod(0o400)
        (d / "slurm.conf").write_text(CONF.format(d=d, cpus=os.cpu_count(), ctld_port=free_port(), slurmd_port=free_port(), host=os.uname().nodename.split(".")[0]))
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
