#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node that judges nothing learns from the fleet's judge that a tenant is near a level: readings of the tenant's job then come each second,
those of another job as before; and when the level is crossed they rest again. Without the hints' topic the node says so once and goes on."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import Broker
from opm import *

TENANTS = """rules:
  - match: {path: "**/TAG/acme/**"}
    tenant: acme
    model: lm
    phase: training
    declared: {by: test, date: 2026-11-01}
  - match: {path: "**/TAG/cirrus/**"}
    tenant: cirrus
"""
# The demonstration's first level is at 5e15, and near it is what lacks less than a fiftieth. 2*2^40 operations a call.
PRODUCT, OPS = f"1,8192,8192,16384,{TYPES_BF16}", 2 * 8192 * 8192 * 16384
NEAR, OVER = 2241, 61  # calls: up to 4.93e15, then over
TICK = f"1,64,64,64,{TYPES_BF16}"
PUBLISH = "8s"
NEAR_TOPIC = "opmeter.near.v1"


def records(broker, topic):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", topic], check=True,
                         capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def start(rig, broker):
    rig.log.flush()
    before = (rig.dir / "agent.log").stat().st_size
    args = [OPMETER, "agent", "--dir", rig.ledger, "--pin-dir", rig.pins, "--drain", "200ms", "--publish", PUBLISH, "--budget", "0",
            "--offsets", "data/offsets.csv", "--tenants", rig.dir / "tenants.yaml", "--brokers", broker.brokers, "--no-devices",
            "--library", CUDA13 / "libcublasLt.so.13"]
    rig.agent = subprocess.Popen([str(a) for a in args], stdout=rig.log, stderr=rig.log)
    rig.wait_for(rig.ready, "the agent to be ready")
    return before


class Readings:
    """How often each of two jobs' registers was sent."""

    def __init__(self, rig, broker):
        self.broker = broker
        self.jobs = {who: {r["job"] for r in rig.readings(f"{who}/")} for who in ("acme", "cirrus")}
        assert all(len(j) == 1 for j in self.jobs.values()), self.jobs

    def counts(self):
        rows = [r["value"] for r in records(self.broker, "opmeter.readings.v1")]
        return [sum(v["job"] in self.jobs[who] and v["format"] == "bf16" and v["meter"] == "shape" for v in rows) for who in ("acme", "cirrus")]

    def grew(self, rig, who, n, what):
        """By how much each did while that one did by n."""
        first = self.counts()
        rig.wait_for(lambda: self.counts()[who] >= first[who] + n, what, timeout=180)
        return [b - a for a, b in zip(first, self.counts())]


def hints(broker):
    """What stands on the topic."""
    last = {}
    for r in records(broker, NEAR_TOPIC):
        assert r["partition"] == 0, r
        last[r["key"]] = r["value"]
    return {k: v for k, v in last.items() if v is not None}


def run(rig, broker, fleets):
    (rig.dir / "tenants.yaml").write_text(TENANTS.replace("TAG", rig.tag))
    before = start(rig, broker)
    said = lambda: (rig.dir / "agent.log").read_text()[before:].count("nothing is published each second near a level")
    rig.wait_for(said, "the missing topic to be named")
    assert NEAR_TOPIC in (rig.dir / "agent.log").read_text()
    rig.stop()
    assert said() == 1, "said more than once"
    subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True,
                   stdout=subprocess.DEVNULL)
    start(rig, broker)
    play = lambda who, *args: rig.play(rig.cgroup(f"{who}/job"), "--lib-dir", CUDA13, "--product", *args)
    for who in ("acme", "cirrus"):
        play(who, TICK, "--calls", 100000, "--rate", "5")
    assert int(rig.finish(play("acme", PRODUCT, "--calls", NEAR, "--rate", "3000"))["ops"]) == OPS * NEAR
    rig.wait_for(lambda: rig.total(below="acme/") > OPS * NEAR and rig.readings("cirrus/"), "both jobs to be counted")
    readings = Readings(rig, broker)
    acme, cirrus = readings.grew(rig, 1, 2, "readings of cirrus")
    assert acme <= cirrus + 1, f"nobody is near: acme {acme}, cirrus {cirrus}"

    log = open(rig.dir / "fleet.log", "ab")
    fleets.append(subprocess.Popen([OPMETER, "fleet", "--brokers", broker.brokers, "--name", "near-test", "--regimes", "tests/demo/regimes"],
                                   stdout=log, stderr=log))
    rig.wait_for(lambda: hints(broker), "the judge to say who is near", timeout=120)
    (key, value), = hints(broker).items()
    assert key.startswith("near-test/") and "acme" not in key + json.dumps(value) and value["v"] == 1, (key, value)
    near = readings.grew(rig, 0, 12, "readings of acme each second")
    assert near[0] >= 2 * near[1] + 2, f"acme is near: its readings {near[0]}, those of cirrus {near[1]}"

    rig.finish(play("acme", PRODUCT, "--calls", OVER, "--rate", "3000"))
    rig.wait_for(lambda: not hints(broker), "the judge to take it back", timeout=180)
    acme, cirrus = readings.grew(rig, 1, 2, "readings of cirrus")
    assert acme <= cirrus + 2, f"acme is over the level: its readings {acme}, those of cirrus {cirrus}"
    assert len(records(broker, NEAR_TOPIC)) == 2, records(broker, NEAR_TOPIC)
    print(f"near a level {near[0]} readings of a job while another one sent {near[1]}; after it {acme} and {cirrus}")


def main():
    need_live()
    fleets = []
    with Broker() as broker, Rig("near") as rig:
        try:
            run(rig, broker, fleets)
            rig.stop()
        except BaseException:
            if fleets:
                sys.stderr.write((rig.dir / "fleet.log").read_text()[-3000:])
            raise
        finally:
            for p in fleets:
                p.send_signal(signal.SIGKILL)
                p.wait()


main()
