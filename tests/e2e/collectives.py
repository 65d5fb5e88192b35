#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One job over several cgroups and several nodes, by the ids of its communicators, on the real libnccl without a GPU: the
ranks run under two accounts, and a second agent (ledger and pins of its own) with the same key meters others of them, as
a second node does: one is switched off while the ranks of the other call. A constant id (NCCL_COMM_ID) does not join two runs; a forged rank joins nobody and is a finding. The switch, a
killed agent and an agent that is away lose no call; raw ids are nowhere in a ledger."""
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, "tests/lib")
from opm import CACHE, OPMETER, Rig, need_live, skip  # noqa: E402

need_live()
LIBRARY = CACHE / "cuda/nccl-cu13-2.32.3/libnccl.so.2"
if not LIBRARY.exists():
    skip("no NCCL in the cache: run `make deps`")
FORMS = ("Rank", "Config", "Scalable")
FLOAT32 = 7


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Rank:
    def __init__(self, rig, cgroup, library, **env):
        self.p = subprocess.Popen([sys.executable, "tests/lib/nccl_rank.py", library, rig.cgroup(cgroup)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=rig.log, text=True, env={**os.environ, **env})
        rig.procs.append(self.p)
        check(self.line() == "loaded", "the library could not be loaded")

    def line(self):
        return self.p.stdout.readline().strip()

    def tell(self, *what):
        self.p.stdin.write(json.dumps(what) + "\n")
        self.p.stdin.flush()
        return self.line()

    def end(self):
        self.p.stdin.close()
        check(self.p.wait(timeout=20) == 0, "a rank ended badly")


def join(*rigs, window=None, rc=0):
    args = [OPMETER, "ledger", "join", *(a for r in rigs for a in ("--dir", r.ledger))] + (["--window", window] if window else [])
    done = subprocess.run(args, capture_output=True, text=True)
    check(done.returncode == rc, f"ledger join: {done.returncode}, {done.stdout} {done.stderr}")
    rows = [json.loads(x) for x in done.stdout.splitlines()]
    return [r for r in rows if "instances" in r], [r for r in rows if "set" in r]


def paths(job, rig):
    return sorted(i["path"].split(rig.tag)[1].strip("/") for i in job["instances"] if rig.tag in (i["path"] or ""))


def switch(rig, act):
    subprocess.run([OPMETER, act, "--meter", "collective", "--pin-dir", rig.pins], check=True, capture_output=True)


def wait_events(rig, n):
    rig.wait_for(lambda: len(rig.export("communicators")) >= n, f"{n} events of communicators")


def seen(rig):
    return (rig.dir / "agent.log").read_text().count("communicators and collectives are seen")


def wait_seen(rig, n):
    rig.wait_for(lambda: seen(rig) >= n, "the probes")


def wait_log(rig, text):
    rig.wait_for(lambda: "counting (collective) was " + text in (rig.dir / "agent.log").read_text(), "the agent to notice")


def own_copy(rig):
    """A file of this rig's own: two nodes do not see each other's processes. Shared blocks where the file system can."""
    subprocess.run(["cp", "--reflink=auto", LIBRARY, rig.dir / "libnccl.so.2"], check=True)
    return str(rig.dir / "libnccl.so.2")


def start(rig, library, wait=True):
    rig.start("--join-key", rig.key, "--no-devices", wait=wait)


def test_one_job(a, b, library, others):
    """Six ranks: four here under two accounts, two on the other node. Rank 5 of a seventh is never seen."""
    ranks = [Rank(a, f"acct{i % 2}", library) for i in range(4)] + [Rank(b, "acct2", others) for _ in range(2)]
    alone = Rank(a, "acct9", library)
    wait_seen(a, 2)
    switch(b, "off")
    wait_log(b, "switched off")
    shared, partial, own = (ranks[0].tell("id") for _ in range(3))
    check(len({shared, partial, own}) == 3, "ids repeat")
    for i, r in enumerate(ranks):
        if i == 4:
            for k in (0, 1):
                ranks[k].tell("init", partial, 7, k, "Rank")
            alone.tell("init", own, 1, 0, "Config")
            switch(a, "off")
            n = seen(b)
            switch(b, "on")
            wait_seen(b, n + 2)
        r.tell("init", shared, 6, i, FORMS[i % 3])
        r.tell("reduce", 1000 + i, FLOAT32, 10 + i)
    wait_events(a, 7)
    wait_events(b, 2)
    jobs, sets = join(a, b)
    check(len(jobs) == 2 and len(sets) == 3, f"jobs: {jobs}, sets: {sets}")
    big = max(jobs, key=lambda j: j["processes"])
    check(big["processes"] == 6 and big["sets"] == 2 and big["incomplete_sets"] == 1, f"the job: {big}")
    check(paths(big, a) == ["acct0", "acct1"] and paths(big, b) == ["acct2"], f"its accounts: {big}")
    check(len({i["ledger"] for i in big["instances"]}) == 2, "not over two nodes")
    verdicts = sorted((s["nranks"], s["ranks_seen"], s["verdict"]) for s in sets)
    check(verdicts == [(1, 1, "complete"), (6, 6, "complete"), (7, 2, "incomplete")], f"verdicts: {verdicts}")
    here, there = join(a)[1], join(b)[1]
    check((6, 4, "incomplete") in [(s["nranks"], s["ranks_seen"], s["verdict"]) for s in here], f"one node alone: {here}")
    check([(s["ranks_seen"], s["verdict"]) for s in there] == [(2, "incomplete")], f"the other alone: {there}")
    for r in [*ranks, alone]:
        r.end()
    # a sum is written every few seconds, and at the end
    a.wait_for(lambda: sum(c["calls"] for c in a.export("collectives") if "calls" in c) == 10 + 11 + 12 + 13, "the sums")
    sent = sum(int(c["bytes"]) for c in a.export("collectives") if "bytes" in c)
    check(sent == sum((1000 + i) * 4 * (10 + i) for i in range(4)), f"bytes: {sent}")
    check(all(c["kind"] == "all-reduce" for c in a.export("collectives") if "kind" in c), "kinds")
    for rig in (a, b):
        check_no_raw_id(rig, (shared, partial, own))
        check(len({e["id"] for e in rig.export("communicators")}) == (3 if rig is a else 1), "hashes of ids")
    return shared


def check_no_raw_id(rig, ids):
    for f in rig.ledger.iterdir():
        data = f.read_bytes()
        for text in ids:
            raw = bytes.fromhex(text)
            check(raw not in data and raw[:16] not in data and text[:32].encode() not in data, f"{f.name} holds a raw id")


def test_constant_id(a, library):
    """The same id on every run: apart in time two jobs, together a finding that joins nobody."""
    env = {"NCCL_COMM_ID": "127.0.0.1:29500"}
    runs = [[Rank(a, f"run{n}", library, **env) for _ in range(2)] for n in range(2)]
    ids = {r.tell("id") for run in runs for r in run}
    check(len(ids) == 1, f"NCCL_COMM_ID gave {len(ids)} ids")
    text = ids.pop()
    before = len(a.export("communicators"))
    for n, run in enumerate(runs):
        for rank, r in enumerate(run):
            r.tell("init", text, 2, rank, "Config")
        a.wait_for(lambda: len(a.export("communicators")) >= before + 2 * (n + 1), "the run's events")
        if n == 0:
            time.sleep(3)
    hashed = a.export("communicators")[-1]["id"]
    apart = [s for s in join(a, window="2s")[1] if s["set"] == hashed]
    check([s["verdict"] for s in apart] == ["complete"] * 2 and apart[0]["job"] != apart[1]["job"], f"apart in time: {apart}")
    jobs, sets = join(a, rc=3)
    together = [s for s in sets if s["set"] == hashed]
    check([s["verdict"] for s in together] == ["conflict"] and len(together[0]["claimants"]) == 2, f"overlapping: {together}")
    check(not [j for j in jobs if set(paths(j, a)) >= {"run0", "run1"}], "two runs with one constant id were joined")
    for r in [r for run in runs for r in run]:
        r.end()


def test_forger(a, library):
    """A tenant that knows another's id claims a rank of it: it gets into no job, and is named."""
    owner, forger = [Rank(a, "victim", library) for _ in range(3)], Rank(a, "forger", library)
    text = owner[0].tell("id")
    before = len(a.export("communicators"))
    for rank, r in enumerate(owner):
        r.tell("init", text, 3, rank, "Rank")
    forger.tell("init", text, 3, 1, "Rank")
    wait_events(a, before + 4)
    jobs, _ = join(a, rc=3)
    check(not [j for j in jobs if {"victim", "forger"} <= set(paths(j, a))], "forged into another's job")
    for r in [*owner, forger]:
        r.end()


def calls_of(a, cgroup):
    jobs = {e["payload"]["job"] for e in a.export("entries")
            if e["kind"] == "job" and (e["payload"]["path"] or "").endswith(f"/{a.tag}/{cgroup}")}
    rows = [c for c in a.export("collectives") if c["job"] in jobs]
    return sum(c["calls"] for c in rows if "calls" in c), {c["lost"]: c["count"] for c in rows if "lost" in c}


def test_switch_and_kill(a, library):
    r = Rank(a, "switched", library)
    r.tell("reduce", 5, FLOAT32, 100)
    switch(a, "off")
    r.tell("reduce", 5, FLOAT32, 30)
    # its probes go in the background: calls are lost with a cause until they have, then unseen until it is on again
    time.sleep(1)
    n = seen(a)
    switch(a, "on")
    wait_seen(a, n + 1)
    r.tell("reduce", 5, FLOAT32, 7)
    a.kill()
    r.tell("reduce", 5, FLOAT32, 500)
    r.tell("init", r.tell("id"), 2, 0, "Rank")
    r.end()  # it dies while nobody looks
    start(a, library)
    a.wait_for(lambda: calls_of(a, "switched")[0] == 607, f"607 calls, not {calls_of(a, 'switched')}")
    calls, lost = calls_of(a, "switched")
    check(lost.get("off") == 30 and set(lost) <= {"off", "late"}, f"losses: {lost}")
    a.wait_for(lambda: any(s["nranks"] == 2 and s["verdict"] == "incomplete" for s in join(a, rc=3)[1]), "its event")
    a.stop()
    check(calls_of(a, "switched")[0] == 607, "the end changed the count")


def test_bad_keys(a):
    """A key that others may read, is none or is not there is refused by name; no other is taken instead."""
    for name, text, mode in (("open.key", "9f" * 32, 0o644), ("short.key", "9f" * 31, 0o600), ("words.key", "z" * 64, 0o600), (None, "", 0)):
        path = a.dir / (name or "missing.key")
        if name:
            path.write_text(text)
            path.chmod(mode)
        done = subprocess.run([OPMETER, "standalone", "--dir", a.dir / "other", "--pin-dir", str(a.bpf / "other"), "--offsets", "data/offsets.csv",
                               "--regimes", "tests/demo/regimes", "--no-devices", "--join-key", path], capture_output=True, text=True, timeout=60)
        check(done.returncode == 2 and path.name in done.stderr, f"{path.name}: {done.returncode}, {done.stderr}")
        check("9f9f" not in done.stderr, "the key is in a message")


def main():
    with Rig("collectives-a") as a, Rig("collectives-b") as b:
        a.key = b.key = a.dir / "site.key"
        library, others = own_copy(a), own_copy(b)
        with open(os.open(a.key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("9f" * 32 + "\n")
        test_bad_keys(a)
        start(a, library)
        start(b, others)
        test_one_job(a, b, library, others)
        switch(b, "off")
        b.stop()
        n = seen(a)
        switch(a, "on")
        wait_seen(a, n + 1)
        test_constant_id(a, library)
        test_forger(a, library)
        test_switch_and_kill(a, library)
        verify = subprocess.run([OPMETER, "ledger", "verify", "--dir", a.ledger], capture_output=True)
        check(verify.returncode == 0, "the ledger does not verify")
        shutil.rmtree(a.ledger)
        a.start("--no-devices")
        made = a.ledger / "join.key"
        check(made.stat().st_mode & 0o777 == 0o600 and len(made.read_text().strip()) == 64, "no key was made")
        a.stop()
        print("two accounts and two nodes are one job; nobody else is")


main()
