#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes die while their fleet runs, and so does the judge: each dead node is one alert `silent-node`, which names whose jobs were there and what
its devices can have done since; living nodes are none, and the judge that comes after says nothing again."""
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import Api, Description, make_token
from fleet import *

PEAK, INTERVAL_S = 8 * 10**15, 2
SIM = ["--seed", "7", "--nodes", "40", "--jobs", "40", "--days", "1", "--faults", "die", "--beat", f"{INTERVAL_S}s", "--node-peak", str(PEAK)]
SENDING_S, LINGER_S = 4, 240


def seconds(time_):
    return datetime.datetime.fromisoformat(time_.replace("Z", "+00:00")).timestamp()


def start(fleet):
    return fleet.start("--json", "--interval", "300ms")


def judges(p):
    rows = [json.loads(line) for line in open(p.log, errors="replace") if line.startswith('{"instance"')]
    return bool(rows) and rows[-1]["judge"]


def wait_for(fn, what, timeout=60):
    end = time.monotonic() + timeout
    while not (found := fn()):
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.1)
    return found


def last_beats(follower):
    """{source: the last heartbeat's time}"""
    with follower.lock:
        beats = [r["value"] for r in follower.alerts if isinstance(r["value"], dict) and r["value"]["type"] == "opmeter.heartbeat.v1"]
    return {b["source"]: b for b in beats}


def check(alerts, dead, beats):
    """The documented formula: peak x the time since it was heard. Times of events are whole seconds, and a judge that was there takes when it came."""
    assert sorted(a["value"]["subject"] for a in alerts) == sorted(dead), [a["value"]["subject"] for a in alerts]
    for a in (a["value"] for a in alerts):
        beat, data = beats[a["subject"]], a["data"]
        possible, silent = int(data["operations_possible"]), seconds(a["time"]) - seconds(beat["time"])
        assert abs(possible - PEAK * silent) <= PEAK * 2 and possible > PEAK * 3 * INTERVAL_S, (possible / PEAK, silent)
        assert sorted(data["tenants"]) == sorted(beat["data"]["tenants"]), (data["tenants"], beat["data"]["tenants"])
        assert beat["data"]["peak_ops_per_s"] == str(PEAK)
    assert any(a["value"]["data"]["tenants"] not in ([], ["unknown"]) for a in alerts), "no dead node names a tenant: the test shows nothing"


def check_totals(rows, dead, beats):
    """Each total tells of the dead nodes that ran its tenant's jobs, and of no living one; the sum of what they can have done."""
    told = 0
    for row in rows:
        of = [beats[s] for s in dead if row["tenant"] in beats[s]["data"]["tenants"]]
        silent = row.get("silent")
        assert bool(silent) == bool(of), (row, of)
        if not of:
            continue
        times, at = [seconds(b["time"]) for b in of], seconds(silent["as_of"])
        assert silent["nodes"] == len(of) and silent["bounded"] and abs(seconds(silent["since"]) - min(times)) <= 2, (silent, of)
        assert abs(int(silent["operations"]) - sum(PEAK * (at - t) for t in times)) <= 2 * PEAK * len(of), (silent, times)
        told += 1
    assert 0 < told < len(rows), f"{told} of {len(rows)} totals tell of silent nodes: the test shows nothing"


def check_in_time(rows, dead, follower, timeout=60):
    """A machine under load may hold up living nodes for a moment."""
    end = time.monotonic() + timeout
    while True:
        try:
            return check_totals(rows(), dead, last_beats(follower))
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def read_once(broker):
    rows = subprocess.run([OPMETER, "totals", "--brokers", broker.brokers, "--name", "silence", "--json"], check=True, capture_output=True, text=True,
                          timeout=90).stdout
    return [json.loads(line) for line in rows.splitlines()]


def check_api(broker, fleet, tmp, dead, follower):
    token = make_token(os.path.join(tmp, "tokens"), "all", "all")
    api = Api(tmp, broker.brokers, "silence", fleet.regimes, os.path.join(tmp, "tokens"), description=Description.load())
    try:
        api.await_ready()
        totals = lambda: api.pages("/v1/totals", token, "totals")[0]
        check_in_time(totals, dead, follower)
        check_in_time(lambda: api.pages("/v1/totals", token, "totals", group="tenant")[0], dead, follower)
        # It grows while the totals rest.
        latest = lambda: max((t["silent"]["as_of"] for t in totals() if "silent" in t), default="")
        first = latest()
        wait_for(lambda: latest() > first, "the server to tell of more silence")
        check_in_time(totals, dead, follower)
    finally:
        api.close()


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-silence-") as tmp:
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "3", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        plan = json.loads(subprocess.run([FLEETSIM, "--dry", *SIM], check=True, capture_output=True, text=True).stdout)
        dead = [n["source"] for n in plan["nodes_told"] if n["dies"]]
        assert 1 < len(dead) < len(plan["nodes_told"]), dead
        fleet, follower, sim = Fleet(broker, "silence", [Regime("test-silence", 10**30)], tmp), Follower(broker.brokers, "silence", 3), None
        try:
            procs = [start(fleet), start(fleet)]
            wait_for(lambda: sum(map(judges, procs)) == 1, "a judge")
            rate = (plan["readings"] + plan["assignments"]) // SENDING_S
            sim = subprocess.Popen([FLEETSIM, "--brokers", broker.brokers, "--truth", os.path.join(tmp, "truth.json"), "--rate", str(rate),
                                    "--linger", f"{LINGER_S}s", *SIM])
            wait_for(lambda: len(last_beats(follower)) == len(plan["nodes_told"]), "every node's first heartbeat")
            time.sleep(SENDING_S)
            # While the instances share anew there may be none for a moment.
            fleet.stop(wait_for(lambda: next((p for p in procs if judges(p)), None), "a judge to kill"), signal.SIGKILL)
            wait_for(lambda: len(follower.data_alerts(fleet.source, "silent-node")) >= len(dead), "the dead nodes' alerts")
            for p in list(fleet.procs):
                assert fleet.stop(p) == 0, "an instance does not end well"
            # One more judge, who only reads what was said.
            once = subprocess.run([OPMETER, "fleet", "--brokers", broker.brokers, "--name", "silence", "--regimes", fleet.regimes, "--once", "--json"], check=True,
                                  capture_output=True, text=True, timeout=60).stdout
            assert sim.poll() is None, "the living nodes ended before the judge did"
            assert "silent-node" not in once, once
            check(follower.data_alerts(fleet.source, "silent-node"), dead, last_beats(follower))
            check_in_time(lambda: read_once(broker), dead, follower)
            check_api(broker, fleet, tmp, dead, follower)
            assert sim.poll() is None, "the living nodes ended before that"
        except BaseException:
            print(fleet.logs(), file=sys.stderr)
            raise
        finally:
            if sim:
                sim.kill()
                sim.wait()
            fleet.close()
            follower.close()
        print(f"{len(dead)} of {len(plan['nodes_told'])} nodes died, each one alert")


main()
