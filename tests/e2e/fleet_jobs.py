#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs over nodes on a real broker, from records of processes as nodes send them, made of recorded runs: answering ranks on one node serve the learning
on another and are in the upper bound of training; a fine-tune renamed twelve times over four nodes, and a job over two accounts, are one lineage each,
whose total crosses a level that no model crosses; what a stranger copies joins nobody and parts nobody. Of all of it nothing is said twice through kills
and restarts, and a person's word holds before it."""
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import Api, Description, make_token
from fleet import *
from kafka_admin import delete_topic
from day import DAY, await_day

NAME, PARTITIONS, OPS, THRESHOLD = "jobs", 4, 10**19, 10**20
PROCESSES, ASSIGNMENTS, READINGS = "opmeter.processes.v1", "opmeter.assignments.v1", "opmeter.readings.v1"
RANKS = SOURCE / "tests/phases/ranks"


def stamp(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


def ident(kind, n):
    return f"{kind:02x}{n:04x}{0:026x}"


def produce(broker, topic, lines, *options):
    subprocess.run([BUILD / "tests/kafka/produce", "--brokers", broker.brokers, "--topic", topic, *options], input="".join(l + "\n" for l in lines), text=True,
                   check=True)


def consume(broker, topic):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", topic], check=True, capture_output=True, text=True).stdout
    return [json.loads(l) for l in out.splitlines()]


def facts(path):
    with gzip.open(path, "rt") as f:
        return dict(line.split()[1:3] for line in f if line.startswith("w "))


def judged(*names):
    """What nodes say of the runs."""
    paths = [p for n in names for p in sorted(RANKS.glob(f"ranks_{n}_[0-9][0-9].run.gz"))]
    out = subprocess.run([BUILD / "tests/tools/judge_runs", *paths], check=True, capture_output=True, text=True).stdout
    return [json.loads(l) for l in out.splitlines()]


def event(kind, ident, source, data):
    return json.dumps({"specversion": "1.0", "id": ident, "source": f"/opmeter/{source}", "type": f"opmeter.{kind}.v1", "time": data["at"],
                       "datacontenttype": "application/json", "data": data})


class Nodes:
    """What all nodes have sent, and when they began."""

    def __init__(self, broker):
        self.broker, self.now, self.jobs, self.processes = broker, int(time.time()), 0, 0
        self.day = self.now // DAY * DAY
        self.assignments, self.readings, self.records = [], [], []

    def job(self, node, tenant, model, phase, ops=OPS):
        """A job instance that did so much today. Returns its ids."""
        self.jobs += 1
        ledger, job = ident(0xA0, node), ident(0x10, self.jobs)
        for kind, value in (("tenant", tenant), ("model", model), ("phase", phase)):
            self.assign(ledger, job, kind, value, {"rule": "test", "version": "1"})
        key = bytes.fromhex(ledger + job) + struct.pack("<IBBH", self.day // DAY, 4, 1, 1)
        value = b"OPRD" + struct.pack("<HH", 1, 320) + bytes.fromhex(ledger + job) + struct.pack("<IBBHQ", self.day // DAY, 4, 1, 1, 1)
        value += ops.to_bytes(16, "little") + bytes(32) + bytes(24) + struct.pack("<Q", 1) + bytes(32) + bytes(56)
        value += struct.pack("<QQQ", self.day * 10**9, self.now * 10**9, (self.day - 30 * DAY) * 10**9)
        self.readings.append(key.hex() + "\t" + value.ljust(320, b"\0").hex())
        return ledger, job

    def assign(self, ledger, job, kind, value, author, at=None):
        a = {"v": 1, "ledger": ledger, "job": job, "kind": kind, "value": value, "from": stamp(self.day), "to": None, "share": {"low": "1", "high": "1"},
             "evidence": "a test", "author": author, "at": stamp(at or self.now)}
        who = "person" if "person" in author else "rule"
        self.assignments.append(f"{ledger}/{job}/{kind}/{self.day * 10**9}/{who}\t" + event("assignment", f"{job}-{kind}", ledger, a))

    def process(self, of, record, tenant, model, communicators=(), begun=None, minutes=1):
        """A process of a job instance: of each communicator its id, number of ranks and rank."""
        self.processes += 1
        begun = begun or self.now - 60
        r = {**record, "ledger": of[0], "job": of[1], "process": ident(0x50, self.processes), "from": stamp(begun), "to": stamp(begun + 60 * minutes),
             "at": stamp(begun + 60 * minutes), "tenant": tenant, "model_name": model,
             "communicators": [{"id": ident(0xC0, c), "ranks": n, "rank": rank, "time": stamp(begun)} for c, n, rank in communicators]}
        self.records.append(f"{r['ledger']}/{r['job']}/{r['process']}\t" + event("process", r["process"], of[0], r))
        return r["process"]

    def send(self):
        produce(self.broker, ASSIGNMENTS, self.assignments)
        produce(self.broker, READINGS, self.readings, "--hex")
        produce(self.broker, PROCESSES, self.records)
        self.assignments, self.readings, self.records = [], [], []


class Parties:
    """Ranks of one recorded job of learning and answering on two nodes, and of another on two accounts; a job whose names change; one that two accounts
    train; and a model of another tenant that is like it."""

    def __init__(self, nodes):
        self.rl, self.dp = judged("rl"), judged("dp2")
        verdicts = [r["phase"]["verdict"] for r in self.rl]
        assert verdicts == ["training", "training", "inference", "inference"], verdicts
        self.learner, self.answers = nodes.job(1, "acme", "policy", "training"), nodes.job(2, "acme", "answers", "inference", 3 * OPS)
        for rank, r in enumerate(self.rl):
            of, model = (self.learner, "policy") if rank < 2 else (self.answers, "answers")
            nodes.process(of, r, "acme", model, [(1, 4, rank)])
        self.renamed = [nodes.job(3 + n % 4, "evader", f"tune-{n}", "training") for n in range(12)]
        for n, of in enumerate(self.renamed):
            nodes.process(of, self.dp[0], "evader", f"tune-{n}", begun=nodes.now - 3600 + 120 * n)
        self.both = [nodes.job(7 + n, f"account-{n}", "lm", "training", 6 * OPS) for n in range(2)]
        for n, of in enumerate(self.both):
            nodes.process(of, self.dp[n], f"account-{n}", "lm", [(2, 2, n)])
        nodes.process(nodes.job(9, "other", "lm", "training"), self.dp[0], "other", "lm")
        # One model over four ranks of two nodes, none of which knows all of it.
        self.stages = judged("tp2_pp2")
        self.parts = [nodes.job(13 + n, "acme", "staged", "training") for n in range(2)]
        for rank, r in enumerate(self.stages):
            nodes.process(self.parts[rank // 2], r, "acme", "staged", [(4, 4, rank)])
        self.far = nodes.job(11, "far", "answers", "inference")
        nodes.process(nodes.job(12, "near", "policy", "training"), self.rl[0], "near", "policy", [(3, 2, 0)])
        nodes.process(self.far, self.rl[2], "far", "answers", [(3, 2, 1)])


def strangers(nodes, parties):
    """Copies of two communicators, and records that are none."""
    mallory = nodes.job(10, "mallory", "x", "training")
    nodes.process(mallory, parties.rl[0], "mallory", "x", [(1, 4, 3), (3, 2, 1)])
    good = nodes.records[-1].partition("\t")
    nodes.records.append("nonsense\tno event")
    nodes.records.append(good[0] + "\t" + good[2].replace('"v": 1', '"v": 9'))
    nodes.records.append(f"{parties.answers[0]}/{parties.answers[1]}/{ident(0x50, 999)}\t" + good[2])


def own(r, name=NAME):
    return isinstance(r["value"], dict) and r["value"]["source"] == f"/opmeter/{name}"


def ours(broker):
    """What the fleet's rules said, as whoever reads the topic sees it."""
    return [r["value"]["data"] for r in consume(broker, ASSIGNMENTS) if own(r)]


class World:
    def __init__(self, broker, follower, fleet):
        self.broker, self.follower, self.fleet = broker, follower, fleet

    def wait(self, what, fn, timeout=90):
        end = time.monotonic() + timeout
        while not (found := fn()):
            self.fleet.tend()
            assert time.monotonic() < end, f"{what}: not within {timeout} s\n{self.follower.sums()}\n{self.fleet.logs()}"
            time.sleep(0.1)
        return found

    def total(self, *at):
        return (self.follower.sums() or {}).get(at)

    def wait_total(self, at, low, high):
        def is_so():
            t = self.total(*at)
            return t and (t["training.low"], t["training.high"]) == (low, high)
        self.wait(f"{at} {low}..{high}", is_so)

    def alerts(self, cause):
        return self.follower.data_alerts(f"/opmeter/{NAME}", cause)

    def wait_alerts(self, cause, n):
        return self.wait(f"{n} alerts of {cause}", lambda: (a := self.alerts(cause)) and len(a) >= n and a)

    def wait_levels(self, level, n):
        self.wait(f"{n} times {level}", lambda: sum(a["value"]["data"]["level"] == level for a in self.follower.level_alerts(f"/opmeter/{NAME}")) >= n)


def lineage_of(broker, jobs):
    """The one name that the rule gives to the job instances."""
    names = {(a["ledger"], a["job"]): a["value"] for a in ours(broker) if a["kind"] == "lineage"}
    (name,) = {names.get(j) for j in jobs}
    return name


def check_said(w, lineages):
    """Each level of each lineage once, and of no model more than a notice; each assignment once."""
    said = Counter((a["value"]["subject"], a["value"]["data"]["level"]) for a in w.follower.level_alerts(f"/opmeter/{NAME}"))
    assert set(said.values()) == {1}, said
    renamed, both = (f"lineage/{n}" for n in lineages)
    assert {s for s, level in said if level == "exceeded"} == {both}, said
    assert {s for s, level in said if level == "urgent"} == {renamed, both}, said
    alerts = Counter((cause, a["value"]["subject"]) for cause in ("job-serves", "lineage-likeness", "communicator-conflict") for a in w.alerts(cause))
    assert set(alerts.values()) == {1}, alerts
    keys = Counter((a["ledger"], a["job"], a["kind"], a["from"], *a["share"].values()) for a in ours(w.broker))
    assert set(keys.values()) == {1}, keys
    return alerts


def main():
    await_day(100)
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-jobs-") as tmp:
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", str(PARTITIONS), "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        nodes = Nodes(broker)
        parties = Parties(nodes)
        nodes.send()
        fleet = Fleet(broker, NAME, [Regime("demo", THRESHOLD)], tmp, ["--jobs-every", "1s", "--interval", "200ms", "--architectures", SOURCE / "data/architectures.csv"])
        follower = Follower(broker.brokers, NAME, PARTITIONS)
        try:
            fleet.start()
            run(World(broker, follower, fleet), nodes, parties)
        finally:
            follower.close()
            fleet.close()


def run(w, nodes, parties):
    # Who answers is in the upper bound, and in no lower one.
    w.wait_total(("model", "acme", "answers"), 0, 3 * OPS)
    w.wait_total(("model", "acme", "policy"), OPS, OPS)
    w.wait_total(("model", "far", "answers"), 0, OPS)
    serves = [a for a in ours(w.broker) if a["kind"] == "serves"]
    assert {(a["v"], a["ledger"], a["job"]) for a in serves} == {(2, *parties.answers), (2, *parties.far)}, serves
    assert all(a["author"]["rule"] == "job-joined" and a["share"] == {"low": "0", "high": "1"} and a["to"] for a in serves), serves
    w.wait_alerts("job-serves", 2)
    # One lineage of twelve names, one of two accounts; what is only alike over tenants is none.
    renamed, both = lineage_of(w.broker, parties.renamed), lineage_of(w.broker, parties.both)
    w.wait_total(("lineage", renamed), 0, 12 * OPS)  # alike: in the upper bound
    w.wait_total(("lineage", both), 12 * OPS, 12 * OPS)  # joined by a communicator: in both
    w.wait_alerts("lineage-likeness", 1)
    w.wait_levels("exceeded", 1)
    w.wait_levels("urgent", 2)
    check_said(w, (renamed, both))
    check_api(w, parties, renamed, w.fleet.dir)
    killed(w, nodes, parties, renamed, both)
    hostile(w, nodes, parties, renamed, both)


def check_api(w, parties, renamed, tmp):
    """What a reviewer is told: of one job instance, of the job over nodes, and to a tenant its own only."""
    tokens = Path(tmp) / "tokens"
    token, of_far = make_token(tokens, "all", "all"), make_token(tokens, "far", "tenants=far")
    api = Api(tmp, w.broker.brokers, NAME, w.fleet.regimes, tokens, description=Description.load())
    try:
        api.await_ready()
        where = lambda of: f"/v1/jobs/{of[0]}/{of[1]}"
        w.wait("all processes are read", lambda: api.get(where(parties.far), token)[0] == 200)
        job = api.get(where(parties.parts[0]), token)[1]["job"]
        (joined,) = job["joined"]
        want = facts(next(RANKS.glob("ranks_tp2_pp2_[0-9][0-9].run.gz")))
        got = joined["judgement"]
        assert (joined["processes"], joined["ledgers"], len(job["processes"])) == (4, 2, 2), joined
        assert got["verdict"] == "training" and (got["world"], got["learning"]) == (4, 4), got
        assert (got["parallel"]["tensor"], got["parallel"]["pipeline"], got["parallel"]["data"]) == (2, 2, 1), got
        assert abs(got["parameters"]["best"] - int(want["job_parameters"])) <= 0.05 * int(want["job_parameters"]), (got, want)
        # Its tenant sees its own process, how many others there are, and nothing of theirs.
        far = api.get(where(parties.far), of_far)[1]["job"]
        assert far["serves"] and far["serves"]["evidence"] is None and far["joined"][0]["processes_of_others"] == 1, far
        assert far["joined"][0]["judgement"] is None and "near" not in json.dumps(far), far
        assert api.get(where(parties.learner), of_far)[0] == 404
        groups = {g["lineage"]: g for g in api.get("/v1/job-lineages", token)[1]["lineages"]["groups"]}
        assert groups[renamed]["count"] == 12 and len({r["model"] for r in groups[renamed]["runs"]}) == 12, groups
        check_words(api, parties, renamed, token, tmp)
        counted = ["opmeter_fleet_jobs_over_nodes 4", "opmeter_fleet_jobs_serving 2", "opmeter_fleet_job_lineages 5"]
        w.wait("jobs are counted", lambda: all(line in api.ask("/metrics", token)[2].decode().splitlines() for line in counted))
        assert f"opmeter_fleet_processes {4 + 12 + 2 + 1 + 4 + 2}" in api.ask("/metrics", token)[2].decode()
    finally:
        assert api.close() == 0


def check_words(api, parties, renamed, token, tmp):
    file = Path(tmp) / "token"
    file.write_text(token)
    ask = lambda *a: subprocess.run([OPMETER, *a, "--api", api.url, "--token-file", file], capture_output=True, text=True)
    said = ask("explain", "/".join(parties.answers)).stdout
    assert "inference" in said and "serves the learning of job" in said and "together: training" in said, said
    said = ask("lineage", "list").stdout
    assert f"{renamed}  confidence 0.90, 12 runs" in said and "finding:" in said, said
    assert ask("explain", "/".join(parties.answers), "--json").stdout.startswith('{"as_of"')
    assert ask("explain", "no such thing").returncode == 2


def killed(w, nodes, parties, renamed, both):
    """The next judge says what is new, under the same name, and nothing again."""
    (first,) = w.fleet.procs
    w.fleet.stop(first, signal.SIGKILL)
    of = nodes.job(3, "evader", "tune-12", "training")
    nodes.process(of, parties.dp[0], "evader", "tune-12", begun=nodes.now - 300)
    nodes.send()
    w.fleet.start()
    w.wait_total(("lineage", renamed), 0, 13 * OPS)
    assert lineage_of(w.broker, parties.renamed + [of]) == renamed
    check_said(w, (renamed, both))
    # A person parts one of them.
    ledger, job = parties.renamed[5]
    nodes.assign(ledger, job, "lineage", f"p-{job[:12]}", {"person": "Jane"}, at=nodes.now + 1)
    nodes.send()
    w.wait_total(("lineage", renamed), 0, 12 * OPS)


def without(w):
    """Where the topic is not there, totals are as they are; that jobs are not joined is said, once a day."""
    delete_topic(w.broker.brokers, PROCESSES)
    other = Fleet(w.broker, "old", [Regime("demo", THRESHOLD)], w.fleet.dir)
    try:
        p = other.start("--once")
        w.wait("the fleet without the topic is through", lambda: p.poll() is not None)
        assert p.returncode == 0, other.logs()
        w.wait("it says so", lambda: len(w.follower.data_alerts("/opmeter/old", "jobs-not-joined")) == 1)
    finally:
        other.close()


def hostile(w, nodes, parties, renamed, both):
    strangers(nodes, parties)
    nodes.send()
    w.wait_alerts("communicator-conflict", 2)
    for cause in ("damaged", "unknown-version", "forged"):
        w.wait_alerts(cause, 1)
    # What only a communicator over tenants said is taken back; what is of one tenant stays.
    w.wait_total(("model", "far", "answers"), 0, 0)
    w.wait_total(("model", "acme", "answers"), 0, 3 * OPS)
    w.wait_total(("model", "mallory", "x"), OPS, OPS)
    alerts = check_said(w, (renamed, both))
    letters = [r for r in consume(w.broker, "opmeter.deadletters.v1") if r["headers"]["topic"] == PROCESSES]
    assert {r["headers"]["reason"] for r in letters} == {"damaged", "unknown-version", "forged"}, letters
    without(w)
    print(f"{len(ours(w.broker))} assignments, {sum(alerts.values())} alerts about jobs, {len(letters)} dead letters")


main()
