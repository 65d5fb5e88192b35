#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent signs its ledger's head and sends it to a real broker. Killed at any point, also between signing and sending, it never shows two logs, and
what was signed arrives; keys rotate while it runs; a ledger that was put back from an older copy is refused, counted, told, and found by whoever has
what came over Kafka. The running fleet finds nothing in all that, and a log that was put back together with its keys."""
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
import fcntl

ORIGIN = "example.org/opmeter/node7"
REFUSED = "the ledger is not the one whose head was signed"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    def __init__(self, rig, kafka):
        self.rig, self.kafka, self.keys, self.pubs, self.jobs = rig, kafka, rig.dir / "keys", [], 0
        self.keygen()

    def run(self, *args, code=0):
        p = subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True)
        assert p.returncode == code, f"{args}: {p.returncode}, not {code}: {p.stdout}{p.stderr}"
        return p.stdout + p.stderr

    def keygen(self, *more):
        pub = self.rig.dir / f"key{len(self.pubs)}.pub"
        pub.write_text(self.run("evidence", "keygen", "--keys", self.keys, "--origin", ORIGIN, *more))
        self.pubs.append(pub)

    def last(self):
        """(size, note) of what was signed last, as the keys' directory remembers it."""
        note = (self.keys / "last.checkpoint").read_text()
        return int(note.splitlines()[1]), note

    def events(self):
        return [r for r in self.kafka.records("opmeter.checkpoints.v1")]

    def sizes(self):
        return [int(r["value"]["data"]["size"]) for r in self.events()]

    def seen(self):
        """What a consumer of the topic printed: a line for each event."""
        path = self.rig.dir / "seen.jsonl"
        path.write_text("".join(json.dumps(r["value"]) + "\n" for r in self.events()))
        return path

    def verify(self, *args, code=0, keys=None):
        return self.run("evidence", "verify", *args, *(x for k in keys or self.pubs for x in ("--key", k)), code=code)

    def all_in_order(self):
        said = self.verify("--seen", self.seen(), "--dir", self.rig.ledger)
        assert f"it grew through {len(set(self.sizes()))} heads" in said, said
        assert "in order" in self.run("ledger", "verify", "--dir", self.rig.ledger)

    def play(self):
        self.jobs += 1
        self.rig.finish(self.rig.play(self.rig.cgroup(f"job{self.jobs}"), "--lib-dir", CUDA13, "--product", f"1,64,64,64,{TYPES_BF16}", "--calls", "101"))


def signed_and_sent(n):
    n.rig.start()
    for i in (1, 2):
        n.play()
        n.rig.wait_for(lambda: len(set(n.sizes())) >= i, f"checkpoint {i} on Kafka")
    for r in n.events():
        v = r["value"]
        assert r["key"] == v["subject"] == v["data"]["origin"] == ORIGIN and v["type"] == "opmeter.checkpoint.v1", r
        assert r["headers"]["content-type"] == "application/cloudevents+json"


def rotated_live(n):
    n.keygen("--overlap", "1h")
    n.play()
    n.rig.wait_for(lambda: n.events()[-1]["value"]["data"]["checkpoint"].count("\u2014") == 2, "a head that both keys signed")
    both = n.rig.dir / "both"
    both.write_text(n.events()[-1]["value"]["data"]["checkpoint"])
    for k in n.pubs:
        n.verify(both, keys=[k])


def quiet_when_nothing_is_new(n):
    n.rig.stop()
    assert n.sizes()[-1] == n.last()[0], "the last head of an agent that ended is not on Kafka"
    before = n.sizes()
    n.rig.start("--publish", "3600s", "--heartbeat", "3600s")
    time.sleep(1.5)
    assert len(n.sizes()) - len(before) <= 1, "it signs its own records"
    n.rig.stop()


def killed_between_signing_and_sending(n):
    """Signed while the broker is away, and killed; then signed without being recorded, as by a kill just behind the signature."""
    n.rig.start()
    n.kafka.kill()
    before = n.last()[0]
    n.play()
    n.rig.wait_for(lambda: n.last()[0] > before, "a signature without a broker")
    n.rig.kill()
    with open(n.rig.ledger / "ledger.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = n.run("evidence", "checkpoint", "--dir", n.rig.ledger, "--keys", n.keys)
        assert "not recorded" in said, said
    size, note = n.last()
    assert size > before
    n.kafka.up()
    assert size not in n.sizes()
    n.rig.start()
    n.rig.wait_for(lambda: size in n.sizes(), "the head that was signed before the kill")
    assert note in [r["value"]["data"]["checkpoint"] for r in n.events()], "it is not the note that was signed"
    n.rig.stop()
    n.all_in_order()


def killed_at_any_point(n):
    rng, before = random.Random(7), n.last()[0]
    player = n.rig.play(n.rig.cgroup("long"), "--lib-dir", CUDA13, "--product", f"1,64,64,64,{TYPES_BF16}", "--calls", "100003", "--rate", "1000")
    for _ in range(6):
        n.rig.start("--publish", "200ms", "--checkpoint", "200ms")
        time.sleep(rng.uniform(0.05, 1.2))
        n.rig.kill()
    player.kill()
    player.wait()
    n.rig.start()
    n.rig.stop()
    assert n.last()[0] > before + 6, "nothing was signed meanwhile"
    assert n.sizes()[-1] == n.last()[0]
    n.all_in_order()


def put_back(n, old):
    """In place, so that it is no other file to the ledger."""
    for f in n.rig.ledger.glob("ledger.db-*"):
        f.unlink()
    with open(n.rig.ledger / "ledger.db", "r+b") as f:
        f.write((old / "ledger.db").read_bytes())
        f.truncate()


def fork_is_found(n):
    old = n.rig.dir / "old"
    shutil.copytree(n.rig.ledger, old)
    n.rig.start()
    n.play()
    n.rig.stop()
    n.all_in_order()
    seen, size = n.seen(), n.last()[0]
    put_back(n, old)
    said = n.verify("--seen", seen, "--dir", n.rig.ledger, code=3)
    assert "the log has fewer" in said, said
    port = free_port()
    n.rig.start("--listen", f"127.0.0.1:{port}")
    page = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    refused = lambda: [float(line.split()[1]) for line in page().splitlines() if line.startswith("opmeter_checkpoints_refused_total ")]
    n.rig.wait_for(lambda: refused() and refused()[0] >= 2, "refusals on the metrics page")
    n.play()
    n.rig.wait_for(lambda: [r for r in n.kafka.records("opmeter.alerts.v1") if r["value"]["data"].get("cause") == REFUSED], "the alert")
    # It goes on counting, grows past what was signed, and is signed no more than before.
    for _ in range(9):
        if len(n.rig.export("entries")) > size + 3:
            break
        n.play()
    n.rig.wait_for(lambda: len(n.rig.export("entries")) > size + 3, "the forked log to be longer than the true one")
    was = refused()[0]
    n.rig.wait_for(lambda: refused()[0] > was + 1, "further refusals")
    n.rig.stop()
    assert n.last()[0] == size and n.sizes()[-1] == size, "a fork was signed"
    alerts = [r for r in n.kafka.records("opmeter.alerts.v1") if r["value"]["data"].get("cause") == REFUSED]
    assert len(alerts) == 1, "told more than once"
    said = n.verify("--seen", seen, "--dir", n.rig.ledger, code=3)
    assert "FORK" in said, said
    assert "no checkpoint: " in (n.rig.dir / "agent.log").read_text()


class Judge:
    """The running fleet, which has the log's public keys."""

    def __init__(self, n):
        self.n, self.keys = n, n.rig.dir / "logs.keys"
        self.keys.write_text("".join(k.read_text() for k in n.pubs))

    def found(self):
        p = subprocess.run([OPMETER, "fleet", "--brokers", self.n.kafka.brokers, "--name", "logs", "--regimes", "tests/demo/regimes", "--log-keys", self.keys,
                            "--once"], capture_output=True, text=True, timeout=120)
        assert p.returncode == 0 and "heads of 1 logs of 1" in p.stderr, p.stderr
        return [r["value"] for r in self.n.kafka.records("opmeter.alerts.v1")
                if r["value"]["source"] == "/opmeter/logs" and r["value"]["type"] == "opmeter.alert.data.v1"]


def found_by_the_fleet(n, judge, copies):
    """The ledger and its keys put back from one copy: the agent signs on, and only who saw what came before can know."""
    assert judge.found() == [], "a fork that was not signed is none"
    put_back(n, copies / "ledger")
    shutil.rmtree(n.keys)
    shutil.copytree(copies / "keys", n.keys)
    before = len(n.sizes())
    n.rig.start()
    n.play()
    n.rig.wait_for(lambda: len(n.sizes()) > before, "a head of the log that was put back")
    n.rig.stop()
    for _ in range(2):
        said = judge.found()
        causes = sorted(e["data"]["cause"] for e in said)
        # Which of them: whether it comes to a size that was signed before.
        assert causes and set(causes) <= {"log-forked", "log-went-back"} and len(set(causes)) == len(causes), said
        assert all(e["subject"] == ORIGIN for e in said), said
    for e in said:
        path = n.rig.dir / "alert.jsonl"
        path.write_text(json.dumps(e) + "\n")
        fork = e["data"]["cause"] == "log-forked"
        assert ("FORK" if fork else "2 different heads") in n.verify("--seen", path, code=3 if fork else 0)


def main():
    need_live()
    with Kafka(free_port()) as kafka, Rig("checkpoints", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        n = Node(rig, kafka)
        p = subprocess.run([OPMETER, "standalone", "--dir", rig.dir / "none", "--pin-dir", rig.pins, "--offsets", "data/offsets.csv", "--regimes",
                            "tests/demo/regimes", "--evidence-keys", rig.dir / "no-keys"], capture_output=True, text=True)
        assert p.returncode == 2 and "keygen" in p.stderr and not (rig.dir / "none").exists(), p.stderr
        rig.options += ["--brokers", kafka.brokers, "--create-topics", "--evidence-keys", n.keys, "--checkpoint", "300ms"]
        signed_and_sent(n)
        rotated_live(n)
        quiet_when_nothing_is_new(n)
        killed_between_signing_and_sending(n)
        killed_at_any_point(n)
        judge, copies = Judge(n), rig.dir / "copies"
        assert judge.found() == [], "kills, rotation and copies are no fork"
        shutil.copytree(rig.ledger, copies / "ledger")
        shutil.copytree(n.keys, copies / "keys")
        fork_is_found(n)
        found_by_the_fleet(n, judge, copies)
        print(f"{len(n.sizes())} checkpoints on Kafka, one log until it was put back with its keys")


main()
