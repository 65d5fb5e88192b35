#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each process does leaves its node: recorded runs are played into the real libraries, and the records on a real broker say of each what
`replay` says of its file, with the communicators that the real libnccl was asked for. A process that lives on while its agent is stopped, killed
and started again is never said to do anything else."""
import gzip
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import free_port
from opm import *

TOPIC = "opmeter.processes.v1"
TENANTS = """rules:
  - match: {path: "**/TAG/acme/**"}
    tenant: acme
    model: lm
"""
NCCL = CACHE / "cuda/nccl-cu13-2.32.3/libnccl.so.2"
RANKS = "ranks_tp2_pp2"
SINGLE = {"acme/gpt2": "tests/phases/runs/gpt2_bf16.run.gz", "acme/packed": "tests/phases/runs/tinyllama_packed.run.gz",
          "other/serves": "tests/phases/runs/inf_deepseek_decode.run.gz"}
LIVES = "tests/phases/runs/tinyllama_packed.run.gz"


def replayed(path):
    out = subprocess.run([OPMETER, "replay", path, "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def jobs_of(rig, below):
    """More than one where the ledger was begun anew; here it never is."""
    return {e["payload"]["job"] for e in rig.export("entries") if e["kind"] == "job" and (e["payload"]["path"] or "").endswith(f"/{rig.tag}/{below}")}


def kept(rig, below):
    """The records in the ledger, in their order."""
    jobs = jobs_of(rig, below)
    return [e["payload"] for e in rig.export("entries") if e["kind"] == "process" and e["payload"]["job"] in jobs]


def near(got, want, share):
    return abs(got - want) <= share * want


def check_judged(name, got, path):
    want = replayed(path)
    model, told = want["model"], got["model"]
    print(f"{name}: {got['phase']['verdict']}, {told['parameters']} parameters, {told['layers']} layers, certain {told['certain']}")
    assert got["phase"]["verdict"] == want["phase"]["verdict"], (name, got, want["phase"])
    for bound in ("low", "best", "high"):
        assert near(float(told["parameters"][bound]), model["parameters"][bound], 1e-6), (name, bound, told, model)
    assert told["layers"] == (model["layers"] or 0) and told["hidden"] == (model["hidden"] or 0) and told["certain"] == model["certain"], (name, told, model)
    assert int(got["phase"]["executed"]) > 0 and got["from"] <= got["to"] <= got["at"], got


def check_on_topic(kafka, rig):
    """Keyed and partitioned by ledger and job as registers are; what is in the log is what was sent."""
    rows = kafka.records(TOPIC)
    sent = {}
    for r in rows:
        data = r["value"]["data"]
        assert r["value"]["type"] == "opmeter.process.v1" and r["key"] == f"{data['ledger']}/{data['job']}/{data['process']}", r
        ids = bytes.fromhex(data["ledger"]), bytes.fromhex(data["job"])
        assert r["partition"] == (struct.unpack_from("<Q", ids[0])[0] ^ struct.unpack_from("<Q", ids[1])[0]) % 4, "not the partition of docs/formats.md"
        sent[r["key"]] = data
    last = {f"{d['ledger']}/{d['job']}/{d['process']}": d for d in (e["payload"] for e in rig.export("entries") if e["kind"] == "process")}
    assert sent == last, f"{len(sent)} keys on the topic, {len(last)} in the ledger"
    return {d["job"]: d for d in sent.values()}


def play(rig, cgroup, path, *more, **kw):
    return rig.play(rig.cgroup(cgroup), "--lib-dir", CUDA13, "--run", path, "--as-recorded", *more, **kw)


def play_ranks(rig):
    """Each rank of a recorded job is a process, and makes one communicator with the others."""
    files = [f"tests/phases/ranks/{RANKS}_{i:02}.run.gz" for i in range(4)]
    env = {**os.environ, "NCCL_COMM_ID": "127.0.0.1:29511"}
    players = [play(rig, f"acct{i}/rank", f, "--wait-ms", "500", "--nccl", NCCL, "--rank", i, "--ranks", 4, env=env) for i, f in enumerate(files)]
    for p in players:
        rig.finish(p)
    return files


def reduced(path):
    """Bytes of the all-reduces that the player asks for: those of the file."""
    with gzip.open(path, "rt") as f:
        return sum(int(line.split()[2]) * int(line.split()[3]) for line in f if line.startswith("c allreduce "))


def check_ranks(rig, on_topic, files):
    ids = set()
    for i, path in enumerate(files):
        got = on_topic[jobs_of(rig, f"acct{i}/rank").pop()]
        check_judged(f"rank {i}", got, path)
        assert [(c["ranks"], c["rank"]) for c in got["communicators"]] == [(4, i)] and got["communicators_left_out"] == 0, got
        assert got["groups"] == [{"ranks": 4, "kind": "allreduce", "bytes": str(reduced(path))}], got["groups"]
        ids |= {c["id"] for c in got["communicators"]}
    assert len(ids) == 1, "the ranks' communicators have no common id"


def wait_kept(rig, below, condition, what):
    rig.wait_for(lambda: any(condition(r) for r in kept(rig, below)), what, timeout=60)


def lives_on(rig):
    """Played again and again, while the agent is stopped, killed and started."""
    stop = rig.dir / "stop"
    player = play(rig, "acme/lives", LIVES, "--seconds", "3600", "--rate", "20000")
    rig.wait_for(lambda: rig.total(below="acme/lives") > 0, "its first products")
    rig.stop()  # the last look judges it
    first = kept(rig, "acme/lives")
    assert len(first) == 1 and not first[0]["ended"], first
    rig.start()
    before = rig.total(below="acme/lives")
    rig.wait_for(lambda: rig.total(below="acme/lives") > before, "more of its products")
    rig.kill()
    rig.start()
    player.terminate()
    player.wait()
    wait_kept(rig, "acme/lives", lambda r: r["ended"], "the record of its end")
    return first[0]


def check_lives(rig, first):
    rows = kept(rig, "acme/lives")
    want = replayed(LIVES)
    assert first["phase"]["verdict"] == want["phase"]["verdict"] and near(float(first["model"]["parameters"]["best"]), want["model"]["parameters"]["best"], 0.05), first
    assert [r["at"] for r in rows] == sorted(r["at"] for r in rows) and rows[-1]["ended"] and not any(r["ended"] for r in rows[:-1]), rows
    for r in rows:
        assert r["phase"]["verdict"] == first["phase"]["verdict"] and r["model"]["layers"] == first["model"]["layers"], (r, first)
        assert near(float(r["model"]["parameters"]["best"]), float(first["model"]["parameters"]["best"]), 0.05), (r, first)
    print(f"one that lives on: {len(rows)} records, the last says that it ended")


def main():
    need_live()
    if not NCCL.exists():
        skip("no NCCL in the cache: run `make deps`")
    with Kafka(free_port(2)) as kafka, Rig("processes") as rig:
        tenants = rig.dir / "tenants.yaml"
        tenants.write_text(TENANTS.replace("TAG", rig.tag))
        rig.options = ["--tenants", tenants, "--brokers", kafka.brokers, "--create-topics", "--library", CUDA13 / "libcublasLt.so.13",
                       "--library", CUDA13 / "libcublas.so.13", "--library", NCCL]
        rig.start()
        for name, path in SINGLE.items():
            rig.finish(play(rig, name, path, "--wait-ms", "300"))
        files = play_ranks(rig)
        for name in (*SINGLE, *(f"acct{i}/rank" for i in range(4))):
            wait_kept(rig, name, lambda r: r["ended"], f"the record of {name}")
        first = lives_on(rig)
        rig.stop()
        on_topic = check_on_topic(kafka, rig)
        for name, path in SINGLE.items():
            got = on_topic[jobs_of(rig, name).pop()]
            check_judged(name, got, path)
            who = ("acme", "lm") if name.startswith("acme/") else ("unknown", "unassigned")
            assert (got["tenant"], got["model_name"], got["lineage"]) == (*who, None) and got["communicators"] == [] and got["groups"] == [], got
        check_ranks(rig, on_topic, files)
        check_lives(rig, first)
        subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], check=True, stdout=subprocess.DEVNULL)


main()
