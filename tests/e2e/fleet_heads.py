#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signed heads of many logs on a real broker: the fleet finds the log that forked, the one that went back, the one that fell silent while its node
works, and says of each once, through kills and restarts, with notes that `opmeter evidence verify` shows to anybody. What nobody signed, or somebody
else did, is counted and told, and accuses no log."""
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *
from kafka_admin import add_partitions
from verify_bundle import sign

TOPIC = "opmeter.checkpoints.v1"
NAME = "heads"


class Log:
    """A log's keys, made by opmeter, and any head signed with them: also what opmeter itself would never sign."""

    def __init__(self, d, name, source):
        self.origin, self.source, self.keys = f"example.org/opmeter/{name}", source, d / f"keys-{name}"
        self.pub = d / f"{name}.pub"
        self.pub.write_text(subprocess.run([OPMETER, "evidence", "keygen", "--keys", self.keys, "--origin", self.origin], check=True,
                                           capture_output=True, text=True).stdout)
        secret = next(self.keys.glob("*.key")).read_text().splitlines()[0]
        self.id, data = secret.removeprefix("PRIVATE+KEY+").split("+", 2)[1:]
        self.seed = base64.b64decode(data)[1:]

    def note(self, size, root, seed=None):
        text = f"{self.origin}\n{size}\n{base64.b64encode(bytes([root]) * 32).decode()}\n"
        _, signature = sign(seed or self.seed, text.encode())
        return f"{text}\n\u2014 {self.origin} {base64.b64encode(bytes.fromhex(self.id) + signature).decode()}\n"

    def event(self, size, root, seed=None):
        note = self.note(size, root, seed)
        head_id = hashlib.sha256(note.rpartition("\n\n")[0].encode() + b"\n").hexdigest()[:32]
        return {"specversion": "1.0", "id": head_id, "source": self.source, "type": "opmeter.checkpoint.v1", "subject": self.origin,
                "time": "2026-11-23T18:00:00Z", "datacontenttype": "application/json",
                "data": {"origin": self.origin, "size": str(size), "root": (bytes([root]) * 32).hex(), "checkpoint": note}}

    def line(self, size, root, seed=None):
        return f"{self.origin}\t{json.dumps(self.event(size, root, seed))}\n"


def produce(broker, topic, lines):
    subprocess.run([BUILD / "tests/kafka/produce", "--brokers", broker.brokers, "--topic", topic], input=lines, text=True, check=True)


def node(n):
    return f"/opmeter/{n:032x}"


def beat(broker, source, tenants):
    data = {"interval_s": 3600, "sequence": "1", "registers": "1", "backlog": "0", "peak_ops_per_s": "1", "tenants": tenants}
    produce(broker, "opmeter.alerts.v1", f"{source}\t" + json.dumps({"specversion": "1.0", "id": f"beat{source}", "source": source,
            "type": "opmeter.heartbeat.v1", "time": "2026-11-23T18:00:00Z", "data": data}) + "\n")


def said(broker):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", "opmeter.alerts.v1"], check=True, capture_output=True,
                         text=True).stdout
    events = [json.loads(l)["value"] for l in out.splitlines()]
    return [e for e in events if e["type"] == "opmeter.alert.data.v1" and e["source"] == f"/opmeter/{NAME}"]


def wait_said(broker, fleet, cause, subject, timeout=60):
    end = time.monotonic() + timeout
    while not (found := [e for e in said(broker) if e["data"]["cause"] == cause and e["subject"] == subject]):
        assert all(p.poll() is None for p in fleet.procs), "an instance ended: " + fleet.logs()
        assert time.monotonic() < end, f"{cause} of {subject} is not said within {timeout} s:\n{fleet.logs()}"
        time.sleep(0.3)
    return found[0]


def check_shows(d, log, alert, code, words):
    """The alert alone, and the public key."""
    path = d / "alert.jsonl"
    path.write_text(json.dumps(alert) + "\n")
    p = subprocess.run([OPMETER, "evidence", "verify", "--seen", path, "--key", log.pub], capture_output=True, text=True)
    assert p.returncode == code and words in p.stdout + p.stderr, (p.returncode, p.stdout, p.stderr)


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-heads-") as tmp:
        d = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        names = ("honest", "forked", "back", "replayed", "silent", "idle", "late")
        logs = {n: Log(d, n, node(i)) for i, n in enumerate(names)}
        keys = d / "logs.keys"
        keys.write_text("# of the nodes\n" + "".join(l.pub.read_text() for n, l in logs.items() if n != "late"))
        bad = subprocess.run([OPMETER, "fleet", "--brokers", broker.brokers, "--log-keys", logs["honest"].keys / "none"], capture_output=True, text=True)
        assert bad.returncode == 2 and "cannot be read" in bad.stderr, bad.stderr

        lines = "".join(logs[n].line(10 * i, i) for i in range(1, 24) for n in names)
        lines += logs["honest"].line(230, 23) * 3 + logs["honest"].line(220, 22)  # sent again after a crash
        lines += logs["forked"].line(200, 99)
        lines += logs["back"].line(215, 77)
        lines += logs["replayed"].line(20, 2)  # by anybody who may write there
        lines += logs["late"].line(205, 66)
        # What no key signed: nonsense, another's key, a signature of another text, logs that nobody knows.
        lines += "nonsense\tno event\n" + logs["honest"].origin + "\t{}\n" + logs["honest"].line(90, 5, seed=bytes(32))
        lines += logs["honest"].line(9000, 9).replace('"9000"', '"9001"') + logs["honest"].origin + "\n"
        for i in range(300):
            lines += logs["honest"].line(7, 7).replace("opmeter/honest", f"opmeter/stranger{i}")
        produce(broker, TOPIC, lines)
        beat(broker, logs["silent"].source, ["acme"])
        beat(broker, logs["idle"].source, [])

        fleet = Fleet(broker, NAME, [Regime("none", 10**30)], d, ["--log-keys", keys, "--log-silent-after", "8s", "--interval", "200ms"])
        try:
            first = fleet.start()
            fork = wait_said(broker, fleet, "log-forked", logs["forked"].origin)
            back = wait_said(broker, fleet, "log-went-back", logs["back"].origin)
            old = wait_said(broker, fleet, "log-old-head", logs["replayed"].origin)
            assert (fork["data"]["sizes"], back["data"]["sizes"], old["data"]["sizes"]) == (["200", "200"], ["230", "215"], ["230", "20"])
            check_shows(d, logs["forked"], fork, 3, "FORK")
            check_shows(d, logs["back"], back, 0, "2 different heads")
            for cause in ("checkpoint-damaged", "checkpoint-forged", "checkpoint-unknown-key"):
                wait_said(broker, fleet, cause, "logs")
            silent = wait_said(broker, fleet, "log-silent", logs["silent"].origin)
            assert silent["data"]["size"] == "230" and silent["data"]["node"] == logs["silent"].source, silent
            # Killed in the midst; the next judge reads it all again, and more has come.
            fleet.start()
            first.kill()
            first.wait()
            fleet.procs.remove(first)
            produce(broker, TOPIC, logs["silent"].line(240, 24) + logs["forked"].line(200, 98) + logs["forked"].line(190, 98) + logs["honest"].line(240, 24))
            end = time.monotonic() + 60
            while len([e for e in said(broker) if e["data"]["cause"] == "log-silent" and e["data"]["size"] == "240"]) < 1:
                assert time.monotonic() < end, "its next silence is not said: " + fleet.logs()
                time.sleep(0.3)
            # A key that is given later: what its log said before is compared, too. A file that is none changes nothing.
            with open(keys, "a") as f:
                f.write(logs["late"].pub.read_text())
            wait_said(broker, fleet, "log-went-back", logs["late"].origin)
            keys.write_text("nonsense\n")
            wait_said(broker, fleet, "file-refused", "file/log-keys")
            keys.write_text("".join(l.pub.read_text() for l in logs.values()))
            fleet.stop(fleet.procs[0])
            # Where the topic has other partitions than when they were written, records are not taken for what they are not.
            add_partitions(broker.brokers, TOPIC, 5)
            fleet.start()
            wait_said(broker, fleet, "checkpoint-misplaced", "logs")
            fleet.stop(fleet.procs[0])
        finally:
            fleet.close()
        events = said(broker)
        ids = Counter(e["id"] for e in events)
        assert max(ids.values()) == 1, "said more than once: " + str([e["data"]["sentence"] for e in events if ids[e["id"]] > 1][:3])
        # Nothing of the honest log and of the idle node, and of each other log once what it did.
        got = Counter((e["data"]["cause"], e["subject"].removeprefix("example.org/opmeter/")) for e in events if e["subject"].startswith("example"))
        assert got == {("log-forked", "forked"): 1, ("log-went-back", "back"): 1, ("log-old-head", "replayed"): 1, ("log-silent", "silent"): 2,
                       ("log-went-back", "late"): 1}, got
        print(f"{len(events)} findings of {len(names)} logs, each once, and none of the honest")


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
