#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clocks that run since a threshold was met, or since it is known that it will be, through the fleet: the judge asks the keepers of partitions for the days of
what is large enough, adds them, and says each duty once, with the day, the date and the words that `opmeter policy replay` gives of the same
readings. So through the kill of the judge, with two instances, after readings that come late and after a model is assigned anew. Of what is small
nobody asks. Thresholds that will be met are said ahead, once for each month, by whoever judges."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../data"))
from fleet import *
import scenarios
from day import await_day

await_day(120)

PARTITIONS = 4
BEGUN = date.today() - timedelta(days=60)
SMALL = 10**23 // 50 // 2  # half of what the least threshold that may be forecast needs


def job(tenant, ops, days=60, **more):
    return {"tenant": tenant, "model": "lm", "from": BEGUN.isoformat(), "days": days, "ops": ops, **more}


# On several jobs, so on several partitions, some of them tiny.
JOBS = [*(job("acme", 10**24 * (i + 1), lineage="one") for i in range(5)), *(job("acme", 1000 + i, days=7) for i in range(5)),
        job("zeta", 2 * 10**24, lineage="one"), *(job("late", 10**24) for _ in range(4)), job("moved", 6 * 10**24), job("small", SMALL), job("soon", 3 * 10**22),  # the EU's 10^23 within 90 days, at the fast rate
       
        *(job("sudden", 10**24, days=1) for _ in range(11))]  # met on its first day, so never known before
LATE = [job("late", 10**24) for _ in range(3)]


def replayed(d, what):
    d.mkdir()
    s = scenarios.Scenario(what, d)
    s.judge()
    return s, {(x["regime"], x["subject"]): x for x in s.duties}


def events(broker, source):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", ALERTS[0], "--topic", ALERTS[1]], check=True,
                         capture_output=True, text=True).stdout
    rows = [json.loads(l)["value"] for l in out.splitlines()]
    return [e for e in rows if e and e.get("source") == source]


def duties(broker, name):
    return [e for e in events(broker, f"/opmeter/{name}") if e["type"] == "opmeter.alert.duty.v1"]


def forecasts(broker, name):
    """{(regime, subject, occasion): event}: each is there once, says what it says of its own dates, and is not of what is met."""
    got = [e for e in events(broker, f"/opmeter/{name}") if e["type"] == "opmeter.alert.forecast.v1"]
    ids = [e["id"] for e in got]
    assert len(ids) == len(set(ids)), f"{name}: said twice: {ids}"
    for e in got:
        d, f = e["data"], e["data"]["forecast"]
        ahead = date.fromisoformat(f["earliest"]) - date.fromisoformat(d["as_of_day"])
        assert 0 < ahead.days <= f["horizon_days"] == 90 and d["occasion"] == "forecast/" + f["earliest"][:7], e
        assert f["earliest"] <= f["likely"] <= (f["latest"] or "9999") and int(d["observed"]["low"]) < int(d["limit"]), e
        assert int(f["operations_per_day"]["fast"]) * ahead.days >= int(d["limit"]) - int(d["observed"]["high"]), e
        assert (int(f["operations_per_day"]["fast"]) * (ahead.days - 1)) < int(d["limit"]) - int(d["observed"]["high"]), e
    return {(e["data"]["regime"], e["subject"], e["data"]["occasion"]): e for e in got}


def check(broker, name, want):
    got = duties(broker, name)
    ids = [e["id"] for e in got]
    assert len(ids) == len(set(ids)), f"{name}: said twice: {ids}"
    assert {(e["data"]["regime"], e["subject"]) for e in got} == set(want), (name, [e["subject"] for e in got], list(want))
    for e in got:
        w = want[(e["data"]["regime"], e["subject"])]
        for key in ("known_on", "met_on", "due", "sentence", "duty"):
            assert e["data"].get(key) == w.get(key), (name, key, e["data"].get(key), w.get(key))


def wait(what, predicate, fleet, timeout=90):
    end = time.monotonic() + timeout
    while not predicate():
        fleet.tend()
        assert time.monotonic() < end, f"{what}: not within {timeout} s\n{fleet.logs()}"
        time.sleep(0.3)


def records(broker):
    """{(fleet, kind, subject): value} of days and asks that stand on the totals topic."""
    out = {}
    for line in subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", TOTALS], check=True,
                               capture_output=True, text=True).stdout.splitlines():
        r = json.loads(line)
        part = r["key"].split("/", 3)
        if len(part) == 4 and part[2] in ("days", "ask"):
            out.setdefault((part[0], part[2], part[3]), {})[part[1]] = r["value"]
    return out


def publish(broker, s):
    subprocess.run([BUILD / "tests/tools/publish", broker.brokers, s.dir / "readings", s.dir / "assignments.jsonl"], check=True, stdout=subprocess.DEVNULL)


def once(broker, d, want):
    """One instance that reads, asks itself, answers and says."""
    subprocess.run([OPMETER, "fleet", "--brokers", broker.brokers, "--name", "once", "--regimes", "data/regimes", "--once"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    check(broker, "once", want)
    r = records(broker)
    assert {k[2] for k in r} == {"model/acme/lm", "model/zeta/lm", "model/late/lm", "model/moved/lm", "model/sudden/lm", "model/soon/lm",
                                    "lineage/one"}, r.keys()
    days = [x for p in r[("once", "days", "model/acme/lm")].values() for x in p["days"]]
    assert sum(int(x[1]) for x in days) == sum(scenarios.ops(j["ops"]) for j in JOBS if j["tenant"] == "acme"), "days that are not the total"
    assert len(r[("once", "days", "model/acme/lm")]) > 1, "all in one partition: nothing is added"
    ahead = forecasts(broker, "once")
    assert ("eu-gpai", "soon/lm") in {k[:2] for k in ahead} and ("eu-ai-act-51", "late/lm") in {k[:2] for k in ahead}, list(ahead)
    assert not [k for k in ahead if k[1] in ("small/lm", "sudden/lm") and k[0].startswith("eu")], list(ahead)  # far, and met
    return ahead


def running(broker, d, steps, ahead):
    """Two instances, the first of which is killed after the first step. steps: (what comes, what is to be said then). ahead: the forecasts
    of the first step; what comes then moves dates, and says new ones, but none of the old ones again."""
    fleet = Fleet(broker, "two", [], d, ["--interval", "200ms"])
    fleet.regimes = Path("data/regimes").resolve()
    try:
        judge = fleet.start()
        for what, (s, want) in steps:
            if s:
                publish(broker, s)
            wait(what, lambda: len(duties(broker, "two")) >= len(want), fleet)
            check(broker, "two", want)
            if judge:
                wait("the forecasts", lambda: len(forecasts(broker, "two")) >= len(ahead), fleet)
                assert forecasts(broker, "two").keys() == ahead.keys(), (list(forecasts(broker, "two")), list(ahead))
                fleet.start()
                wait("both read", lambda: fleet.logs(99).count("owns 2 of 4") >= 2, fleet)
                fleet.stop(judge, signal.SIGKILL)
                fleet.start()
                judge = None
        wait("a date that moved", lambda: forecasts(broker, "two").keys() > ahead.keys(), fleet)
        said = forecasts(broker, "two").keys()
        for p in list(fleet.procs):
            fleet.stop(p)
        assert fleet.start("--once").wait(timeout=60) == 0, fleet.logs()
        check(broker, "two", want)
        assert forecasts(broker, "two").keys() == said, "somebody who reads everything anew says something else"
    finally:
        fleet.close()


def reassigned(s):
    """A person says that the work was another model's all the time: whose days they are is judged anew."""
    a = next(a for a in s.assignments if a["value"] == "moved")
    s.assign(bytes.fromhex(a["ledger"]), bytes.fromhex(a["job"]), "model", "other", job("moved", 0), {"person": "jane"})
    (s.dir / "assignments.jsonl").write_text("".join(json.dumps(a) + "\n" for a in s.assignments))
    rows = scenarios.run("policy", "replay", "--json", "--all", "--readings", s.dir / "readings", "--assignment-file", s.dir / "assignments.jsonl",
                         "--regimes", "data/regimes")
    return s, {(x["regime"], x["subject"]): x for x in map(json.loads, rows.splitlines()) if "duty" in x}


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-duties-") as tmp, Broker() as broker:
        d = Path(tmp)
        first, want = replayed(d / "first", {"id": "days", "law": {}, "jobs": JOBS})
        assert {k[1] for k, x in want.items() if "met_on" in x} == {"sudden/lm"} and len(want) > 1, want
        late, more = replayed(d / "late", {"id": "days", "law": {}, "jobs": JOBS + LATE})
        assert set(more) == set(want) | {("eu-ai-act-51", "late/lm")}, (list(want), list(more))
        moved, most = reassigned(replayed(d / "moved", {"id": "days", "law": {}, "jobs": JOBS + LATE})[0])
        assert set(more) - set(most) == {("eu-ai-act-51", "moved/lm")} and set(most) - set(more) == {("eu-ai-act-51", "moved/other")}, list(most)
        most = {**more, **most}  # what was said of moved/lm before stays said
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", str(PARTITIONS), "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        publish(broker, first)
        ahead = once(broker, d, want)
        running(broker, d, [("what is there", (None, want)), ("readings that come late", (late, more)), ("a person's word", (moved, most))], ahead)
    print(f"{len(ahead)} thresholds said ahead, {len(want)} duties, {len(more)} after late readings, {len(most)} after a person's word: as the replay has them, each once")


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
