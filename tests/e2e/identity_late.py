#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An API server that is away, hangs, then answers: jobs count as unknown meanwhile and move to their tenant, to the last operation, also those that have
ended and after a kill of the agent; the static map holds before the resolvers; a changed label holds from then on, changed rules from the job's first sight.
The API server here is a stand-in that can misbehave; identity_kubernetes.py has the real one."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
from identity import *

CONTAINER = "0123456789abcdef" * 4
UIDS = {x: f"6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e{i:02x}" for i, x in enumerate(("mapped", "late", "alive", "lost"))}
RULES = """trust: [namespace, namespace-label/opmeter.example/tenant]
tenant:
  - from: namespace-label/opmeter.example/tenant
  - name: unitco
    where: [{{fact: unit, like: "train*.service"}}]
model: [{{from: pod-label/model}}]
kubernetes: {{api: "https://127.0.0.1:{port}", node: n1, ca: {ca}}}
refresh-s: 1
alert-after-s: 2
"""
MAP = 'rules:\n  - match: {path: "**/static/**"}\n    tenant: mapco\n'
E26 = 10**26


def pod_path(who):
    return f"kubepods/burstable/pod{UIDS[who]}/{CONTAINER}"


def away(judge, want):
    """Nobody answers."""
    want[("mapco", "unassigned")] = judge.work("static/" + pod_path("mapped"), E26 + 1)
    want[("unitco", "unassigned")] = judge.work("system.slice/train1.service", 1003)
    late = judge.work(pod_path("late"), E26 + 7)
    judge.wait_for(lambda: judge.totals() == {**want, ("unknown", "unassigned"): late}, "map and unit to name tenants, and nobody the pod")
    judge.wait_for(lambda: any("tenants cannot be asked for" in a and "kubernetes since" in a for a in judge.alerts()), "the silence to be an alert")
    judge.end(pod_path("late"))
    judge.kill()
    return late


def answers(judge, want, late, state, api, world):
    """It hangs, then answers."""
    judge.start()
    judge.wait_for(lambda: api.requests, "the API server to be asked")
    want[("unitco", "unassigned")] += judge.work("system.slice/train2.service", 1009)
    judge.wait_for(lambda: judge.totals() == {**want, ("unknown", "unassigned"): late}, "the count to go on while the API server hangs")
    state["answer"] = state["good"]
    want[("acme", "m-late")] = late
    want[("mapco", "m-mapped")] = want.pop(("mapco", "unassigned"))  # the map says nothing of its model
    judge.wait_for(lambda: judge.totals() == want, "the late answer to move the total")
    first, last = judge.said(pod_path("late"))[0], judge.said(pod_path("late"))[-1]
    assert last[:3] == ("acme", "resolver-kubernetes", first[2]), (first, last)
    assert last[4] == hashlib.sha256(judge.rules.read_bytes()).hexdigest()
    assert "identity.yaml:3: namespace-label/opmeter.example/tenant=acme" in last[3] and "claims: " in last[3] and "pod-label/tenant=evil" in last[3], last[3]


def changes(judge, want, world):
    """A label changes while the job runs; one nobody knows."""
    alive = want[("acme", "m-alive")] = judge.work(pod_path("alive"), 113)
    judge.wait_for(lambda: judge.totals() == want, "the running job to be acme's")
    world["alive"] = world["late"] = world["mapped"] = "borealis"
    del want[("acme", "m-alive")]
    want[("borealis", "m-alive")] = alive
    judge.wait_for(lambda: judge.totals() == want, "the changed label to hold, of what runs alone")
    values = [v for v in judge.said(pod_path("alive")) if v[1].startswith("resolver")]
    assert [v[0] for v in values] == ["acme", "borealis"] and values[1][2] > values[0][2], values
    assert any("its tenant changed while it ran" in a for a in judge.alerts())
    want[("unknown", "unassigned")] = judge.work(pod_path("lost"), 127)
    judge.wait_for(lambda: any("whose it is, is not known" in a for a in judge.alerts()), "the unknown job to be told")


def restarts(judge, want, state, tls, port):
    """Nobody to ask: what was told stands. Other rules: a correction, from where what it corrects began."""
    paths = [pod_path(w) for w in ("late", "alive")] + ["static/" + pod_path("mapped")]
    judge.stop()
    before = [judge.said(p) for p in paths]
    judge.start()
    want[("unitco", "unassigned")] += judge.work("system.slice/train3.service", 5)
    time.sleep(1)
    assert judge.totals() == want, (want, judge.totals())
    assert [judge.said(p) for p in paths] == before, "a restart said something else"
    judge.stop()
    judge.rules.write_text(judge.rules.read_text().replace("  - from: namespace-label/opmeter.example/tenant\n",
                                                           '  - name: corrected\n    where: [{fact: namespace-label/opmeter.example/tenant, like: "*"}]\n', 1))
    with Server(state["good"], tls=tls, port=port):
        judge.start()
        want[("corrected", "m-alive")] = want.pop(("borealis", "m-alive"))
        judge.wait_for(lambda: judge.totals() == want, "the correction")
    last = judge.said(pod_path("alive"))[-1]
    assert last[0] == "corrected" and last[2] == before[1][-1][2], (last, before[1])
    assert judge.said(paths[2])[-1][:2] == ("mapco", "static-map"), judge.said(paths[2])


def main():
    port, want = free_port(), {}
    world = {"late": "acme", "alive": "acme", "mapped": "acme"}
    pods = [pod(UIDS[w], w, w, {"model": "m-" + w, "tenant": "evil"}) for w in world]

    def good(path, headers):
        name = path.rsplit("/", 1)[1]
        return (200, pod_list(*pods)) if "/pods?" in path else (200, namespace(name, **{"opmeter.example__tenant": world[name]}))
    state = {"good": good, "answer": lambda path, headers: lambda handler: time.sleep(4)}
    with Judge("identity", "", MAP) as judge:
        tls = certificate(judge.dir, "api")
        judge.rules.write_text(RULES.format(port=port, ca=tls[0]))
        judge.start()
        late = away(judge, want)
        with Server(lambda path, headers: state["answer"](path, headers), tls=tls, port=port) as api:
            answers(judge, want, late, state, api, world)
            changes(judge, want, world)
        restarts(judge, want, state, tls, port)
        print({f"{t}/{m}": v for (t, m), v in judge.totals().items()})


main()
