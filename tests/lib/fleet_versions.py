# SPDX-License-Identifier: Apache-2.0
"""Versions side by side on one broker: nodes of before 0.2 beside new ones, totals and heads of each version that readers still know, instances
that know nothing of the newest members, and records of versions that are still to come."""
import json
import subprocess
from pathlib import Path

from api import Api, make_token
from fleet import *

SIM = ["--seed", "9", "--nodes", "16", "--jobs", "40", "--days", "2", "--faults", "duplicate,shuffle", "--older"]
PARTITIONS = 4
GOLDEN = SOURCE / "tests/golden"
# What each version of a total has not (docs/formats.md, "Totals").
SINCE_3 = ("executed", "suspected", "gap_days", "first_day", "until", "older")
SINCE_2 = ("group", "lineage", "members", "saturated", "calls", "launches", "meters")
HEAD_AT_FIRST = ("v", "group", "partition", "epoch", "round", "subjects", "registers", "as_of")
FUTURE = 3  # records of a later version that nodes and sealers wrote: a reading, a carry, an assignment


def produce(broker, topic, lines, *options):
    subprocess.run([BUILD / "tests/kafka/produce", "--brokers", broker.brokers, "--topic", topic, *map(str, options)], input="".join(l + "\n" for l in lines),
                   text=True, check=True)


def topic_of(broker, topic):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", topic], check=True, capture_output=True, text=True).stdout
    return [json.loads(l) for l in out.splitlines()]


def wait_for(fn, what, timeout=90):
    end = time.monotonic() + timeout
    while not (found := fn()):
        assert time.monotonic() < end, f"waited {timeout} s for {what()}"
        time.sleep(0.2)
    return found


def write_future(broker):
    """A reading, a carry and an assignment of the version after the one that is known."""
    golden = lambda name: (GOLDEN / name).read_text().strip()
    later = lambda text: text[:8] + "0200" + text[12:]  # both have it behind four letters
    produce(broker, "opmeter.readings.v1", [golden("register_key_v1.hex") + "\t" + later(golden("reading_v1.hex"))], "--hex")
    produce(broker, "opmeter.carry.v1", [golden("carry_key_v1.hex") + "\t" + later(golden("carry_v1.hex"))], "--hex")
    a = json.loads(golden("assignment_v1.json")) | {"v": 3}
    event = {"specversion": "1.0", "id": "assignment-1", "source": f"/opmeter/{a['ledger']}", "type": "opmeter.assignment.v1", "time": a["at"],
             "datacontenttype": "application/json", "data": a}
    produce(broker, "opmeter.assignments.v1", [f"{a['ledger']}/{a['job']}/{a['kind']}\t{json.dumps(event)}"])


def write_heartbeats(broker):
    """One of before it told tenants and peaks, one as it is, one with members of a version to come."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    old = {"interval_s": 3600, "sequence": "1", "registers": "1", "backlog": "0"}
    lines = []
    for n, data in enumerate((old, old | {"peak_ops_per_s": "8", "tenants": []}, old | {"peak_ops_per_s": "8", "tenants": [], "weather": {"wind": "5"}})):
        event = {"specversion": "1.0", "id": f"beat-{n}", "source": f"/opmeter/{n:032x}", "type": "opmeter.heartbeat.v1", "time": now, "data": data}
        lines.append(f"{event['source']}\t{json.dumps(event)}")
    produce(broker, "opmeter.alerts.v1", lines)


def parts_of(broker, name):
    """{partition: ({key: total}, head)} of a fleet that wrote one epoch."""
    parts = {n: ({}, None) for n in range(PARTITIONS)}
    for r in topic_of(broker, TOTALS):
        fleet, _, kind = (r["key"].split("/") + [None])[:3]
        if fleet != name or kind in ("days", "ask") or r["value"] is None:
            continue
        totals, head = parts[r["partition"]]
        if r["value"]["group"] == "head":
            parts[r["partition"]] = (totals, r["value"])
        else:
            totals[r["key"].split("/", 2)[2]] = r["value"]
    assert all(h and int(h["subjects"]) == len(t) for t, h in parts.values()), "the first fleet's totals are not whole"
    return parts


def as_version(totals, version):
    """{rest of the key: total} as a writer of that version had it."""
    out = {}
    for rest, t in totals.items():
        without = (SINCE_3 if version < 3 else ()) + (SINCE_2 if version < 2 else ())
        if version == 1 and t["group"] != "model":
            continue
        out[rest.removeprefix("model/") if version == 1 else rest] = {k: v for k, v in t.items() if k not in without} | {"v": version}
    return out


def publish(broker, name, n, totals, epoch, head, **other):
    """One round of one partition, as its owner writes it."""
    h = head | {"epoch": epoch, "subjects": str(len(totals))} | other
    lines = [f"{name}/{n}/{rest}\t{json.dumps(t)}" for rest, t in totals.items()] + [f"{name}/{n}\t{json.dumps(h)}"]
    produce(broker, TOTALS, lines, "--partition", n, "--epoch", epoch)


def at_first(head):
    return {k: v for k, v in head.items() if k in HEAD_AT_FIRST}


def totals_of(broker, name, group, ok=True):
    p = subprocess.run([OPMETER, "totals", "--brokers", broker.brokers, "--name", name, "--group", group, "--seconds", "60" if ok else "3", "--json"],
                       capture_output=True, text=True)
    assert (p.returncode == 0) == ok, (p.returncode, p.stderr[-800:])
    return [json.loads(l) for l in p.stdout.splitlines()] if ok else p.stderr


def sums(rows):
    got = {}
    for r in rows:
        at = ("lineage", r["lineage"]) if r["group"] == "lineage" else ("model", r["tenant"], r["model"])
        got[at] = {f: int(r[f.split(".")[0]][f.split(".")[1]]) for f in FIELDS} | {"registers": int(r["registers"])}
    return {k: s for k, s in got.items() if any(s.values())}


def lines_of(broker, name, want):
    return differences(want, sums(totals_of(broker, name, "model") + totals_of(broker, name, "lineage")))


def served(api, token):
    return api.pages("/v1/totals", token, "totals")[0] + api.pages("/v1/totals", token, "totals", group="lineage")[0]


def write_older_instances(broker, parts):
    """Four instances, each of another time, own a partition each. What still older ones left lies below."""
    (t0, h0), (t1, h1), (t2, h2), (t3, h3) = (parts[n] for n in range(PARTITIONS))
    for n, v in ((0, 1), (1, 1), (2, 2), (3, 2)):
        publish(broker, "mixed", n, as_version(parts[n][0], v), f"4.{n:016x}", at_first(parts[n][1]))
    publish(broker, "mixed", 0, t0, "5.00000000000000aa", at_first(h0))
    publish(broker, "mixed", 1, as_version(t1, 2), "5.00000000000000ab", at_first(h1))
    publish(broker, "mixed", 2, as_version(t2, 1), "5.00000000000000ac", at_first(h2))
    publish(broker, "mixed", 3, t3 | {"family/later": {"v": 3, "group": "family", "partition": 3}}, "5.00000000000000ad", h3, subjects=str(len(t3)))


def check_read_together(broker, parts, truth, api, token):
    want = {k: s for k, s in truth_sums(truth).items() if k[0] == "model"}
    rows = totals_of(broker, "mixed", "model")
    lines = differences(want, sums(rows))
    assert not lines, "of four versions: " + "\n".join(lines[:8])
    older = {(t["tenant"], t["model"]) for n in (1, 2) for t in parts[n][0].values() if t["group"] == "model"}
    assert {(r["tenant"], r["model"]) for r in rows if r.get("older")} == older, "what is not known of earlier versions is not said"
    api.await_ready()
    lines = differences(want, sums(api.pages("/v1/totals", token, "totals")[0]))
    assert not lines, "served: " + "\n".join(lines[:8])


def write_later_instance(broker, parts):
    """One that was updated before us: its totals are not taken for others, and nothing is added up without them. A head of a later version is none."""
    later = {rest: t | {"v": 4} for rest, t in parts[3][0].items()}
    publish(broker, "mixed", 3, later, "6.00000000000000ae", at_first(parts[3][1]))
    publish(broker, "mixed", 0, {}, "7.00000000000000af", at_first(parts[0][1]), v=3)
    said = totals_of(broker, "mixed", "model", ok=False)
    assert "1 of 4 partitions have no whole totals" in said and "later version" in said, said


def check_beside(broker, parts, truth, api, token, fleet):
    """A new instance takes all over, exactly; older ones that do not know it yet, or are given a partition back, do no harm."""
    want = truth_sums(truth)
    exact = lambda: not differences(want, sums(rows := served(api, token))) and not any(r.get("older") for r in rows)
    wait_for(exact, lambda: "exact totals: " + "; ".join(differences(want, sums(served(api, token)))[:5]) + fleet.logs())
    half = {rest: t | {f: {b: str(int(v) // 2) for b, v in t[f].items()} for f in ("all", "training")} for rest, t in parts[1][0].items()}
    publish(broker, "mixed", 1, as_version(half, 2), "5.00000000000000ab", at_first(parts[1][1]), round="99")
    lines = lines_of(broker, "mixed", want)
    assert not lines, "an instance that was replaced: " + "\n".join(lines[:8])
    publish(broker, "mixed", 1, as_version(half, 2), "5000.00000000000000ab", at_first(parts[1][1]), round="100")
    is_ours = lambda: not (left := lines_of(broker, "mixed", want)) and int(heads_of(broker, "mixed")[1]["epoch"].split(".")[0]) > 5000
    wait_for(is_ours, lambda: "the owner to write above an older instance: " + "; ".join(lines_of(broker, "mixed", want)[:5]) + fleet.logs())
    wait_for(exact, lambda: "the server to take it: " + "; ".join(differences(want, sums(served(api, token)))[:5]))


def heads_of(broker, name):
    """The last that is known of each partition."""
    rows = [r for r in topic_of(broker, TOTALS) if r["key"] in {f"{name}/{n}" for n in range(PARTITIONS)} and r["value"]]
    return {r["partition"]: r["value"] for r in rows if r["value"]["v"] == 2}


def refused(heads):
    out = {}
    for h in heads.values():
        for cause, r in h.get("refused", {}).items():
            out[cause] = out.get(cause, 0) + int(r["count"])
    return out


def check_versions(broker, tmp):
    d = Path(tmp)
    subprocess.run([FLEETSIM, "--reset", "--brokers", broker.brokers], check=True)
    subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", str(PARTITIONS), "--replication", "1"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", d / "versions.json", *SIM], check=True)
    truth = json.loads((d / "versions.json").read_text())
    keys = {len(r["key"].split("/")) for r in topic_of(broker, "opmeter.assignments.v1")}
    assert keys == {3, 5}, f"keys of both times: {keys}"
    write_future(broker)
    write_heartbeats(broker)
    first = Fleet(broker, "first", [Regime("versions", 10**30)], d)
    subprocess.run([OPMETER, "fleet", "--brokers", broker.brokers, "--name", "first", "--regimes", first.regimes, "--once"], check=True, capture_output=True,
                   timeout=120)
    parts = parts_of(broker, "first")
    lines = lines_of(broker, "first", truth_sums(truth))
    assert not lines, "first: " + "\n".join(lines[:8])
    write_older_instances(broker, parts)
    token = make_token(d / "versions.tokens", "all", "all")
    fleet = Fleet(broker, "mixed", [Regime("versions", 10**30)], d, ["--interval", "200ms"])
    api = Api(d, broker.brokers, "mixed", fleet.regimes, d / "versions.tokens")
    try:
        check_read_together(broker, parts, truth, api, token)
        write_later_instance(broker, parts)
        fleet.start()
        check_beside(broker, parts, truth, api, token, fleet)
        for p in list(fleet.procs):
            assert fleet.stop(p) == 0, fleet.logs()
    finally:
        fleet.close()
        api.close()
    # Of what nodes and sealers wrote nothing was refused but what is of a later version; that is said, and is kept.
    assert refused(heads_of(broker, "mixed")) == {"unknown-version": FUTURE}, refused(heads_of(broker, "mixed"))
    dead = [r for r in topic_of(broker, "opmeter.deadletters.v1") if r["headers"]["reason"] == "unknown-version"]
    assert len({r["key"] for r in dead}) == FUTURE, dead
    said = [r["value"]["data"] for r in topic_of(broker, "opmeter.alerts.v1") if r["value"]["type"] == "opmeter.alert.data.v1"
            and r["value"]["source"] == "/opmeter/mixed"]
    assert {a["cause"] for a in said} == {"unknown-version"}, said
    return f"{len(truth['totals'])} totals exact beside versions 1, 2 and 3, {FUTURE} records of a later version refused"
