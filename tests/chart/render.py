#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The chart lints, renders, and holds what it must: no owners on nodes, few capabilities, one writer a ledger; and wrong
values are refused. Needs helm."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHART = "charts/opmeter"
CACHE = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter")))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def find_helm():
    if shutil.which("helm"):
        return "helm"
    mine = CACHE / "bin/helm"
    if not mine.exists():
        skip("no helm: `HELM_TOO=1 tools/deps check` builds it where Go is installed, in some minutes")
    return str(mine)


def main():
    helm = find_helm()
    run = lambda *a: subprocess.run([helm, *a, "--kube-version", "1.31.0"], capture_output=True, text=True)
    good = ["--set", "kafka.brokers=kafka:9092"]
    p = run("lint", "--strict", CHART, *good)
    assert p.returncode == 0, p.stdout + p.stderr
    for bad in ([], ["--set", "kafka.brokers=nowhere"], [*good, "--set", "agent.colour=red"], [*good, "--set", "agent.drain=soon"]):
        assert run("template", "x", CHART, *bad).returncode != 0, f"taken: {bad}"
    full = [*good, "--set", "fleet.ownersSecret=owners,kafka.configSecret=kafka,kafka.createTopics=true",
            "--set-file", "fleet.regimes.us\\.yaml=data/regimes/us-bis-4e091.yaml"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("trust: [namespace]\ntenant: [{from: namespace}]\nkubernetes: {}\n")
        f.flush()
        asking = [*full, "--set-file", f"agent.identity={f.name}"]
        rendered = check_all(run, good, full, asking)
    check_identity(rendered)
    assert "privileged: true" in run("template", "x", CHART, *good, "--set", "agent.privileged=true").stdout
    print("rendered, refused and checked")


def check_all(run, *all_values):
    """Renders and checks each; returns the texts."""
    out = []
    for values in all_values:
        p = run("template", "x", CHART, *values)
        assert p.returncode == 0, p.stderr
        docs = [d for d in p.stdout.split("\n---") if d.strip()]
        kinds = sorted(line.split()[1] for line in p.stdout.splitlines() if line.startswith("kind: "))
        assert {"ConfigMap", "DaemonSet", "Deployment", "ServiceAccount"} <= set(kinds), kinds
        agent = next(d for d in docs if "kind: DaemonSet" in d)
        assert "owners" not in agent, "owners on a node"
        assert "drop: [ALL], add: [SYS_ADMIN, SYS_PTRACE, DAC_READ_SEARCH]" in agent and "privileged: true" not in agent
        assert "maxSurge: 0" in agent and "hostPID: true" in agent
        check_schemas(p.stdout)
        check_args(agent, "agent")
        check_args(next(d for d in docs if "kind: Deployment" in d), "fleet")
        out.append(p.stdout)
    return out


def check_identity(rendered):
    """A token and rights only where identity is asked for, of the agent alone, and just those that it needs."""
    without, _, asking = ([d for d in text.split("\n---") if d.strip()] for text in rendered)
    assert "ClusterRole" not in "".join(without) and "automountServiceAccountToken: true" not in "".join(without)
    agent, fleet = (next(d for d in asking if f"kind: {kind}\n" in d) for kind in ("DaemonSet", "Deployment"))
    assert "automountServiceAccountToken: true" in agent and "serviceAccountName: x-agent" in agent and "NODE_NAME" in agent
    assert "automountServiceAccountToken: false" in fleet and "x-agent" not in fleet.split("spec:", 1)[1], fleet
    role = next(d for d in asking if "kind: ClusterRole\n" in d)
    assert role.count("verbs:") == 2 and "resources: [pods], verbs: [list]" in role and "resources: [namespaces], verbs: [get]" in role, role


def check_schemas(rendered):
    """Against Kubernetes' own schemas, strictly: no field it does not know."""
    where = CACHE / "kubernetes-validate"
    if not where.is_dir():
        skip("no kubernetes-validate: `tools/deps check` installs it")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(rendered)
        f.flush()
        p = subprocess.run([sys.executable, "-m", "kubernetes_validate", "-k", "1.31", "--strict", f.name], capture_output=True,
                           text=True, env={**os.environ, "PYTHONPATH": str(where)})
    passed = (p.stdout + p.stderr).count(" passed for resource ")
    assert p.returncode == 0 and passed >= 4, p.stdout + p.stderr


def check_args(doc, verb):
    """Each argument of the container is one that the binary knows."""
    args = [l.strip()[2:] for l in doc.splitlines() if l.strip().startswith("- --") or l.strip() in (f"- {verb}",)]
    opmeter = os.path.join(os.environ.get("B", "build"), "opmeter")
    known = subprocess.run([opmeter, verb, "--help"], capture_output=True, text=True, check=True).stdout
    for a in args[1:]:
        assert a.split("=")[0] + " " in known or a.split("=")[0] + "\n" in known, f"opmeter {verb} knows no {a}"
    assert args[0] == verb and len(args) > 3, args


main()
