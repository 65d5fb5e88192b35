#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Under an assignment's key something older is written (a node whose disk was restored), a null, half a record: whoever read the later
one keeps it, and writes it again, as it was, so that compaction leaves it for the next who reads. Once, and no more."""
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *

ASSIGNMENTS = "opmeter.assignments.v1"
SIM = ["--seed", "11", "--nodes", "16", "--jobs", "40", "--days", "2", "--plain"]


def records(broker):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", ASSIGNMENTS], check=True,
                         capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def produce(broker, lines, topic=ASSIGNMENTS):
    subprocess.run([BUILD / "tests/kafka/produce", "--brokers", broker.brokers, "--topic", topic], check=True, text=True,
                   input="".join(line + "\n" for line in lines))


def last_of(broker):
    return {r["key"]: r["value"] for r in records(broker)}


def overwrite(broker, before):
    """Of four tenants' assignments; returns the keys."""
    keys = sorted(k for k, v in before.items() if "/tenant/" in k)[:4]
    older = json.loads(json.dumps(before[keys[0]]))
    older["data"] |= {"value": "somebody-else", "at": "2020-01-01T00:00:00Z"}
    repeat = json.dumps(before[keys[3]], separators=(",", ":"))
    produce(broker, [f"{keys[0]}\t{json.dumps(older)}", keys[1], f"{keys[2]}\t" + '{"data":{"v":1,', f"{keys[3]}\t{repeat}"])
    return keys


def wait_for(what, seconds, name):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{name} did not come in {seconds} s"
        time.sleep(0.2)


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-heal-") as tmp:
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        path = os.path.join(tmp, "truth.json")
        subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", path, *SIM], check=True)
        truth, before = json.loads(open(path).read()), last_of(broker)
        keys = overwrite(broker, before)
        assert last_of(broker)[keys[0]] != before[keys[0]], "nothing was overwritten"
        # Whoever knows how ids are made writes them down beforehand: it keeps nobody from saying what they stand for.
        regimes = [Regime("heal", choose_threshold(truth))]
        fleet = Fleet(broker, "heal", regimes, tmp)
        expected = expected_alerts(truth, regimes, fleet.source)
        assert expected, "nothing to be said"
        produce(broker, [i + "\t" + json.dumps({"id": i, "source": fleet.source, "type": "opmeter.alert.level.v1", "subject": "x/y",
                                                "data": {}}) for i in expected], "opmeter.alerts.v1")
        follower = Follower(broker.brokers, "heal", 2)
        try:
            fleet.start()
            wait_for(lambda: last_of(broker) == before, 30, "what holds")
            lines = wait_for_truth(follower, fleet, truth, 30)
            assert not lines, "\n".join(lines[:10]) + fleet.logs()
            wait_for(lambda: {r["key"] for r in follower.level_alerts(fleet.source) if r["value"]["subject"] != "x/y"} >= set(expected),
                     20, "an alert whose id was forged")
            # Written once, and an instance that reads all of it anew has nothing to add.
            count = len(records(broker))
            fleet.start()
            fleet.stop(fleet.procs[0])
            lines = wait_for_truth(follower, fleet, truth, 30, still=5.0)
            assert not lines and len(records(broker)) == count, (lines, count, len(records(broker)))
        finally:
            follower.close()
            fleet.close()
        print(f"{len(before)} assignments; 3 that were written over are there again as they were, with {count} records in all")


main()
