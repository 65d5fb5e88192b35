#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tenant that forks thousands of processes, and one that makes thousands of communicators, beside an honest one: each product is counted, the
honest process's record is there and right, the others' cost the log no more than they may, and what was left out is counted and said once."""
import collections
import json
import os
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import free_port
from opm import *

NCCL = CACHE / "cuda/nccl-cu13-2.32.3/libnccl.so.2"
HONEST = "tests/phases/runs/gpt2_bf16.run.gz"
FORKS, CALLS, AT_ONCE = 1201, 3, 50
MADE, OF_A_PROCESS = 4001, 64
OF_A_JOB = 1024  # records in an hour; a drain's more where it turns

# Each child asks for three products of sizes of its own, without a handle: refused after the entry.
FORKER = """
import ctypes, os, sys
open(os.path.join(sys.argv[2], "cgroup.procs"), "w").write(str(os.getpid()))
lt = ctypes.CDLL(sys.argv[1] + "/libcublasLt.so.13", mode=ctypes.RTLD_GLOBAL)
blas = ctypes.CDLL(sys.argv[1] + "/libcublas.so.13")
one = ctypes.c_float(1)
def product(m, n, k):
    blas.cublasSgemm_v2(None, 0, 0, m, n, k, ctypes.byref(one), None, m, None, k, ctypes.byref(one), None, m)
input()
forks, calls, at_once = map(int, sys.argv[3:6])
for i in range(forks):
    if i >= at_once:
        os.wait()
    if os.fork() == 0:
        for c in range(calls):
            product(8 + i % 100, 16 + c, 32)
        os._exit(0)
for _ in range(min(at_once, forks)):
    os.wait()
print("done", flush=True)
"""

MAKER = """
import ctypes, os, sys
open(os.path.join(sys.argv[2], "cgroup.procs"), "w").write(str(os.getpid()))
lt = ctypes.CDLL(sys.argv[1] + "/libcublasLt.so.13", mode=ctypes.RTLD_GLOBAL)
blas, nccl = ctypes.CDLL(sys.argv[1] + "/libcublas.so.13"), ctypes.CDLL(sys.argv[3])
class Id(ctypes.Structure):
    _fields_ = [("byte", ctypes.c_ubyte * 128)]
nccl.ncclCommInitRank.argtypes = [ctypes.c_void_p, ctypes.c_int, Id, ctypes.c_int]
one, comm = ctypes.c_float(1), ctypes.c_void_p()
input()
for i in range(int(sys.argv[4])):
    nccl.ncclCommInitRank(ctypes.byref(comm), 2 + i % 3, Id.from_buffer_copy(i.to_bytes(128, "little")), i % 2)
for c in range(10):
    blas.cublasSgemm_v2(None, 0, 0, 64, 64, 64, ctypes.byref(one), None, 64, None, 64, ctypes.byref(one), None, 64)
print("done", flush=True)
"""


def script(rig, text, *args):
    p = subprocess.Popen([sys.executable, "-c", text, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=rig.log, text=True)
    rig.procs.append(p)
    return p


def told(p):
    p.stdin.write("\n")
    p.stdin.flush()


def jobs_of(rig, below):
    return {e["payload"]["job"] for e in rig.export("entries") if e["kind"] == "job" and (e["payload"]["path"] or "").endswith(f"/{rig.tag}/{below}")}


def kept(rig, below):
    jobs = jobs_of(rig, below)
    return [e["payload"] for e in rig.export("entries") if e["kind"] == "process" and e["payload"]["job"] in jobs]


def check_honest(rig):
    want = json.loads(subprocess.run([OPMETER, "replay", HONEST, "--json"], check=True, capture_output=True, text=True).stdout)
    got = kept(rig, "honest")
    assert len(got) == 1 and got[0]["ended"] and got[0]["phase"]["verdict"] == want["phase"]["verdict"], got
    assert got[0]["model"]["layers"] == want["model"]["layers"], got
    assert abs(float(got[0]["model"]["parameters"]["best"]) - want["model"]["parameters"]["best"]) < 1, got


def check_communicators(rig):
    got = kept(rig, "maker")
    assert len(got) == 1 and got[0]["ended"], got
    p = got[0]
    made = [e for e in rig.export("communicators") if e["process"] == p["process"]]
    times = [c["time"] for c in p["communicators"]]
    assert len(times) == OF_A_PROCESS and times == sorted(times) and p["communicators_left_out"] == len(made) - OF_A_PROCESS > 0, p
    assert p["groups"] == [], p


def main():
    need_live()
    if not NCCL.exists():
        skip("no NCCL in the cache: run `make deps`")
    port = free_port(1)
    with Rig("process-flood", ["--library", CUDA13 / "libcublasLt.so.13", "--library", CUDA13 / "libcublas.so.13", "--library", NCCL,
                               "--listen", f"127.0.0.1:{port}"]) as rig:
        rig.start()
        flood = [script(rig, FORKER, CUDA13, rig.cgroup("forker"), FORKS, CALLS, AT_ONCE), script(rig, MAKER, CUDA13, rig.cgroup("maker"), NCCL, MADE)]
        for p in flood:
            told(p)
        rig.finish(rig.play(rig.cgroup("honest"), "--lib-dir", CUDA13, "--run", HONEST, "--as-recorded", "--wait-ms", "300"))
        for p in flood:
            assert p.stdout.readline() == "done\n" and p.wait() == 0
        calls = lambda: sum(int(r["calls"]) + sum(int(v) for v in r["lost"].values()) for r in rig.readings("forker") if r["meter"] == "shape")
        rig.wait_for(lambda: calls() >= FORKS * CALLS, "each call of each process", timeout=120)
        rig.wait_for(lambda: kept(rig, "honest") and kept(rig, "maker"), "the records", timeout=120)
        page = lambda: {line.split()[0]: float(line.split()[1]) for line in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode().splitlines()
                        if line.startswith(("opmeter_process", "opmeter_model"))}
        rig.wait_for(lambda: page()["opmeter_processes"] == 0, "all that ended to be finished with", timeout=120)
        last = page()
        rig.stop()
        check_honest(rig)
        check_communicators(rig)
        # Processes of which nothing is known but that they multiplied are in no record; what a job may have is bounded.
        hours = collections.Counter(r["at"][:13] for r in kept(rig, "forker"))
        assert all(n <= OF_A_JOB + 16 for n in hours.values()), hours
        assert sum(hours.values()) + last["opmeter_process_records_left_out_total"] >= FORKS, (hours, last)
        said = [e["payload"]["subject"] for e in rig.export("entries") if e["kind"] == "alert" and "models-left-out" in e["payload"]["data"]["cause"]]
        assert said == [f"job {j}" for j in jobs_of(rig, "forker")], said
        log = (rig.dir / "agent.log").read_text()
        assert log.count("what further ones compute is not recorded") <= 1, log
        subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], check=True, stdout=subprocess.DEVNULL)
        print(f"{FORKS} processes: {calls()} calls, {len(kept(rig, 'forker'))} records; {last}")


main()
