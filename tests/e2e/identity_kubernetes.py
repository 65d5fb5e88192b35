#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real kube-apiserver: pods bound to this node are named by the labels of their namespace, with the rights that the chart grants and no more; a
token that is rotated, or whose account is deleted; and jobs that end before
the server is started. Needs kube-apiserver and etcd in the cache; skips without."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
from identity import *
import tempfile
import time
from kube import *

CONTAINER = "0123456789abcdef" * 4
RIGHTS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}, {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]
RULES = """trust: [namespace-label/opmeter.example/tenant]
tenant: [{from: namespace-label/opmeter.example/tenant}]
model: [{from: pod-label/opmeter.example/model}]
refresh-s: 2
"""


def ask(rules, *uids):
    p = subprocess.run([OPMETER, "identity-resolver", "kubernetes", rules, *uids], capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in p.stdout.splitlines()]
    return lines[-1]["end"], lines[-1]["why"], {line["key"]: line["facts"] for line in lines[:-1]}


def asks(kube, d):
    """Returns the rules, and the uids of pods by name."""
    for n in ("n1", "n2"):
        kube.node(n)
    kube.namespace("team-a", **{"opmeter.example__tenant": "acme"})
    kube.namespace("team-b", unrelated="1")
    uids = {name: kube.pod(ns, name, node, labels) for ns, name, node, labels in (
        ("team-a", "train-0", "n1", {"opmeter.example/model": "a-7b"}), ("team-b", "train-1", "n1", {"opmeter.example/tenant": "acme"}),
        ("team-a", "elsewhere", "n2", {}))}
    mint = kube.agent_account("opmeter", RIGHTS)
    no_rights = kube.agent_account("nothing", [])
    only_pods = kube.agent_account("only-pods", RIGHTS[:1])
    token, rules = d / "token", d / "identity.yaml"
    rules.write_text(RULES + f"kubernetes: {{api: \"{kube.url}\", node: n1, token: {token}, ca: {kube.ca}}}\n")
    token.write_text(mint())
    end, why, facts = ask(rules, *uids.values())
    assert end == "answered", (end, why)
    assert set(facts) == {uids["train-0"], uids["train-1"]}, facts  # the one of another node is not told
    a, b = facts[uids["train-0"]], facts[uids["train-1"]]
    assert a["namespace-label/opmeter.example/tenant"] == "acme" and a["pod-label/opmeter.example/model"] == "a-7b", a
    assert a["pod"] == "train-0" and a["namespace"] == "team-a", a
    assert "namespace-label/opmeter.example/tenant" not in b and b["pod-label/opmeter.example/tenant"] == "acme", b
    for t, want in ((no_rights(), "403"), (only_pods(), "403"), ("nonsense", "401")):
        token.write_text(t)
        end, why, facts = ask(rules, *uids.values())
        print(f"token refused: {end}, {why}")
        assert end == "refused" and want in why and not facts, (end, why)
    # A rotated one counts at once; of a deleted account none does.
    old = mint()
    token.write_text(old)
    assert ask(rules, uids["train-0"])[0] == "answered"
    kube.call("DELETE", "/api/v1/namespaces/default/serviceaccounts/opmeter")
    end_at = time.monotonic() + 30
    while ask(rules, uids["train-0"])[0] != "refused" and time.monotonic() < end_at:
        time.sleep(0.5)  # the server remembers good tokens for some seconds
    assert ask(rules, uids["train-0"])[0] == "refused", "the token of a deleted account"
    kube.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "opmeter"}})
    token.write_text(mint())
    assert ask(rules, uids["train-0"])[0] == "answered"
    # A pod that is deleted for good is not known any more.
    kube.call("DELETE", "/api/v1/namespaces/team-a/pods/elsewhere?gracePeriodSeconds=0")
    return rules, uids


def late(kube, rules, uids):
    kube.down("kube-apiserver")
    with Judge("kubernetes", rules.read_text()) as judge:
        path = lambda name: f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uids[name].replace('-', '_')}.slice/cri-containerd-{CONTAINER}.scope"
        judge.start()
        first, second = judge.work(path("train-0"), 10**26 + 1), judge.work(path("train-1"), 10**25 + 3)
        judge.wait_for(lambda: judge.totals() == {("unknown", "unassigned"): first + second}, "both to be unknown")
        judge.end(path("train-0"))
        kube.api_up()  # after the job has run, and is gone
        # The other's pod claims to be acme's. Its provider says later whose it is, while it runs.
        judge.wait_for(lambda: judge.totals() == {("acme", "a-7b"): first, ("unknown", "unassigned"): second}, "the late answer", 90)
        kube.label("/api/v1/namespaces/team-b", **{"opmeter.example__tenant": "borealis"})
        want = {("acme", "a-7b"): first, ("borealis", "unassigned"): second}
        judge.wait_for(lambda: judge.totals() == want, "the label of its namespace")
        # A killed server, and a restart of ours: what was told stands.
        kube.procs["kube-apiserver"].kill()
        judge.stop()
        judge.start()
        time.sleep(2)
        assert judge.totals() == want
        for name in ("train-0", "train-1"):
            for value, rule, since, evidence, _ in judge.said(path(name)):
                print(name, value, rule, since, evidence)
        print({f"{t}/{m}": v for (t, m), v in judge.totals().items()})


def main():
    if not (BIN / ".complete").exists():
        skip("no kube-apiserver in the cache: `KUBE_TOO=1 tools/deps check` builds it where Go is installed, in some minutes")
    d = Path(tempfile.mkdtemp(prefix="opmeter-kube-"))
    kube = Kube(d)
    try:
        begun = time.monotonic()
        kube.etcd_up()
        kube.api_up()
        print(f"kube-apiserver is ready after {time.monotonic() - begun:.1f} s")
        rules, uids = asks(kube, d)
        late(kube, rules, uids)
    finally:
        kube.close()
        shutil.rmtree(d, ignore_errors=True)


main()
