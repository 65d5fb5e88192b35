#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real slurmctld and slurmd on loopback: jobs by sbatch are named by their account, a job's own words name nobody else's, and answers come late when the
controller was away while the job ran. Slurm gets no cgroups here: those of its jobs are made by the test, as slurmstepd makes them on a cgroup v2 host.
Needs Debian's slurm-wlm and munge; skips without."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
from identity import *
from slurm import *

RULES = """trust: [slurm-account, slurm-user]
tenant:
  - name: acme
    where: [{fact: slurm-account, like: "acme-*"}]
  - from: slurm-account
  - name: rootish
    where: [{fact: slurm-user, like: root}]
model: [{from: slurm-job-name}]
slurm: {}
refresh-s: 600
"""


def main():
    need_slurm()
    with Judge("slurm", RULES) as judge:
        d = judge.dir / "slurm"
        d.mkdir()
        slurm = Slurm(d)
        try:
            def submit(name, *args):
                job = slurm.ask("sbatch", "--parsable", "-n1", "--mem=0", "-J", name, *args, "-o", "/dev/null", "--wrap", "sleep 300").strip()
                assert job.isdigit(), job
                return job
            path = lambda job: f"system.slice/slurmstepd.scope/job_{job}/step_batch/user/task_0"
            one = submit("lm-7b", "-A", "acme-research")
            two = submit(f"x\n{one} evil", "-A", f"borealis\n{one} evil")
            three = submit("a name with spaces")
            slurm.until(lambda: slurm.ask("squeue", "-h", "-t", "RUNNING", "-o", "%A").split(), "a job to run")
            print(slurm.ask("squeue", "-h", "-o", "%A %u %a %T %j"))
            judge.start()
            ops = {job: judge.work(path(job), 10**26 + int(job)) for job in (one, two, three)}
            want = {("acme", "lm-7b"): ops[one], ("borealis", "x"): ops[two], ("rootish", "unassigned"): ops[three]}
            judge.wait_for(lambda: judge.totals() == want, "accounts to name tenants")
            for job in ops:
                print(job, judge.said(path(job))[-1][3])
            # A job that ends while its controller is away, and an agent that is killed meanwhile.
            four = submit("lm-8b", "-A", "acme-two")
            slurm.end("slurmctld")
            late = judge.work(path(four), 10**25 + 1)
            judge.wait_for(lambda: "slurm: squeue does not run here, or slurmctld does not answer it" in (judge.dir / "log").read_text(), "the silence to be said")
            judge.kill()
            judge.end(path(four))
            judge.start()
            assert judge.totals() == {**want, ("unknown", "unassigned"): late}, judge.totals()
            slurm.start("slurmctld", "-D")
            slurm.until(lambda: four in slurm.ask("squeue", "-h", "-o", "%A"), "the controller to be back", 60)
            want[("acme", "lm-8b")] = late
            judge.wait_for(lambda: judge.totals() == want, "the late answer", 90)
            print({f"{t}/{m}": v for (t, m), v in judge.totals().items()})
        finally:
            slurm.end_all()


main()
