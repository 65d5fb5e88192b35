#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One asking, against servers that answer as they should, late, wrongly, too much, or never: what is told is what was answered, whole or not at
all; a token goes where it belongs and nowhere else; a rotated one counts at once. No root needed."""
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *
from identity import *

UID, UID2 = "6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e5f", "6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e60"
HASH, CONTAINER = "0123456789abcdef" * 2, "0123456789abcdef" * 4
LABEL = "opmeter.example/tenant"
RULES = f"""trust: [namespace, namespace-label/{LABEL}]
tenant: [{{from: namespace-label/{LABEL}}}, {{from: namespace}}]
model: [{{from: pod-label/model}}, {{from: pod-annotation/model}}]
"""


class Asked:
    def __init__(self, d, section, *keys, source="kubernetes", env=None):
        rules = Path(tempfile.mkstemp(dir=d, suffix=".yaml")[1])
        rules.write_text(RULES + section)
        p = subprocess.Popen([OPMETER, "identity-resolver", source, rules, *keys], stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
        out = p.stdout.read()
        _, status, self.usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines and "end" in lines[-1], out[-500:]
        self.end, self.why = lines[-1]["end"], lines[-1]["why"]
        self.facts = {line["key"]: line["facts"] for line in lines[:-1]}
        assert (p.returncode == 0) == (self.end == "answered"), (p.returncode, self.end)


def good(pods, *namespaces):
    def answer(path, headers):
        if path.startswith("/api/v1/pods?") or path == "/pods":
            return 200, pod_list(*pods)
        for n in namespaces:
            if path == "/api/v1/namespaces/" + n["metadata"]["name"]:
                return 200, n
        return 404, {"kind": "Status", "code": 404}
    return answer


class World:
    def __init__(self, d):
        self.d, self.token = d, d / "token"
        self.crt, self.key = certificate(d, "right")
        self.other, _ = certificate(d, "wrong")
        self.token.write_text("first-token\n")

    def server(self, answer, **kw):
        return Server(answer, tls=(self.crt, self.key), **kw)

    def section(self, port, ca=None):
        return f'kubernetes: {{api: "https://127.0.0.1:{port}", node: n1, token: {self.token}, ca: {ca or self.crt}}}\n'

    def ask(self, answer, *keys, **kw):
        with self.server(answer) as s:
            a = Asked(self.d, self.section(s.port), *(keys or [UID]), **kw)
            a.requests = s.requests
            return a


def answers(w):
    pods = [pod(UID, "team-a", "train-0", {"model": "m1"}, annotations={"model": "m2", "x": "y"},
                ownerReferences=[{"kind": "Job", "name": "train", "controller": True}]), pod(UID2, "team-b"),
            pod("other-uid", "team-c")]
    a = w.ask(good(pods, namespace("team-a", opmeter_x="1", **{"opmeter.example__tenant": "acme"}), namespace("team-b")), UID, UID2, "unknown-uid")
    assert a.end == "answered" and set(a.facts) == {UID, UID2}, (a.end, a.why, a.facts)
    assert a.facts[UID] == {"namespace": "team-a", "pod": "train-0", "pod-owner": "Job/train", "pod-label/model": "m1", "pod-annotation/model": "m2",
                            "service-account": "default", f"namespace-label/{LABEL}": "acme", "namespace-label/opmeter_x": "1"}, a.facts[UID]
    paths = [p for p, _ in a.requests]
    assert paths[0] == "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&resourceVersion=0" and len(paths) == 3, paths
    assert all(h["Authorization"] == "Bearer first-token" for _, h in a.requests), "no token"
    # A rotated token counts with the next asking.
    w.token.write_text("second-token\n")
    a = w.ask(good(pods, namespace("team-a"), namespace("team-b")), UID)
    assert a.end == "answered" and a.requests[0][1]["Authorization"] == "Bearer second-token"
    # A static pod is named by its manifest's hash, and only its mirror may say so. Whoever makes pods can write all of a mirror's marks: it is
    # believed in the cluster's own namespace alone, and one that a tenant made neither names the pod nor stops the true one from naming it.
    note = {"kubernetes.io/config.hash": HASH}
    of_node = [{"kind": "Node", "name": "n1", "controller": True}]
    forged = pod(UID, "evil", annotations={**note, "kubernetes.io/config.mirror": HASH, "kubernetes.io/config.source": "file"}, ownerReferences=of_node)
    a = w.ask(good([forged], namespace("evil", **{"opmeter.example__tenant": "evil"})), HASH)
    assert a.end == "answered" and not a.facts, "a tenant's pod took the identity of a static one"
    for pods in ([forged, pod(UID2, "kube-system", annotations=note, ownerReferences=of_node)], [pod(UID2, "kube-system", annotations=note, ownerReferences=of_node), forged]):
        a = w.ask(good(pods, namespace("kube-system"), namespace("evil")), HASH)
        assert a.end == "answered" and a.facts[HASH]["namespace"] == "kube-system", (a.end, a.why, a.facts)
    a = w.ask(good([pod(UID, "evil", annotations=note), pod(UID2, "kube-system", annotations=note,
                                                            ownerReferences=[{"kind": "Node", "name": "n1", "controller": True}])],
                   namespace("kube-system")), HASH)
    assert a.end == "answered" and a.facts[HASH]["namespace"] == "kube-system", a.facts


def kubelet(w):
    """Pods of the kubelet; its port without authentication sees no token; labels of namespaces still come from the API server."""
    pods = [pod(UID, "team-a")]
    with w.server(good([], namespace("team-a", **{"opmeter.example__tenant": "acme"}))) as api, Server(good(pods)) as plain:
        section = w.section(api.port).replace("{api", f'{{kubelet: "http://127.0.0.1:{plain.port}", api')
        a = Asked(w.d, section, UID)
        assert a.end == "answered" and a.facts[UID][f"namespace-label/{LABEL}"] == "acme", (a.end, a.why)
        assert plain.requests[0][0] == "/pods" and "Authorization" not in plain.requests[0][1], plain.requests
        assert [p for p, _ in api.requests] == ["/api/v1/namespaces/team-a"]


def refusals(w):
    for status, end in ((401, "refused"), (403, "refused"), (404, "unreachable"), (429, "unreachable"), (500, "unreachable"), (503, "unreachable")):
        a = w.ask(lambda path, headers: (status, {"kind": "Status"}))
        assert a.end == end and str(status) in a.why and not a.facts, (status, a.end, a.why)
    # The list is taken, the namespace refused: nothing was said, or the next rule would name another tenant.
    a = w.ask(lambda path, h: (200, pod_list(pod(UID, "team-a"))) if "pods" in path else (403, {}))
    assert a.end == "refused" and not a.facts, (a.end, a.facts)
    a = w.ask(good([pod(UID, "gone")]))
    assert a.end == "answered" and not a.facts, "a pod of a namespace that is gone was named"
    # Nobody is followed elsewhere, above all not with a token.
    with Server(good([pod(UID, "team-a")])) as elsewhere:
        def redirect(handler):
            handler.send_response(302)
            handler.send_header("Location", f"http://127.0.0.1:{elsewhere.port}/api/v1/pods?")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        a = w.ask(lambda path, headers: redirect)
        assert a.end == "unreachable" and not elsewhere.requests, (a.end, elsewhere.requests)
        # Nor is a proxy of the environment told.
        proxy = f"http://127.0.0.1:{elsewhere.port}"
        a = w.ask(good([pod(UID, "a")], namespace("a")), env={"https_proxy": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy})
        assert a.end == "answered" and not elsewhere.requests, (a.end, a.why)
    with w.server(good([pod(UID, "a")], namespace("a"))) as s:
        a = Asked(w.d, w.section(s.port, w.other), UID)
        assert a.end == "unreachable" and not s.requests, "a server without the right certificate was told the token"
    a = Asked(w.d, w.section(free_port()), UID)
    assert a.end == "unreachable", a.end
    w.token.write_text("a\r\nEvil: header\r\n")
    assert w.ask(good([pod(UID, "a")], namespace("a"))).end == "unreachable"
    w.token.write_text("token")


def garbage(w):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(json.dumps(pod_list(pod(UID, "a"))).encode())
    bodies = [b"", b"<html>\xff\xfe", b"[]", b"null", os.urandom(5000), b'{"kind":"PodList","items":[' + b"[" * 100000, b'{"kind":"Status","status":"Failure"}',
              json.dumps(pod_list(pod(UID, "a"), pod(UID, "b"))).encode(), json.dumps(pod_list(pod(UID, "../../secrets"))).encode(),
              json.dumps(pod_list(pod(UID, "a"))).encode()[:-1]]
    for body in bodies:
        a = w.ask(lambda path, headers: (200, body) if "pods" in path else (200, namespace("a")))
        assert a.end == "bad" and not a.facts, (body[:80], a.end, a.why)
    assert w.ask(lambda path, headers: cut).end == "unreachable"
    assert w.ask(lambda path, h: (200, pod_list(pod(UID, "a"))) if "pods" in path else (200, namespace("b"))).end == "bad"
    a = w.ask(good([pod(UID, "a", node="other-node")], namespace("a")))
    assert a.end == "answered" and not a.facts, "a pod of another node"


def too_much(w):
    def flood(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(100 << 20))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" " * (1 << 20))
    a = w.ask(lambda path, headers: flood)
    print(f"100 MB: {a.end}, {a.why}; largest {a.usage.ru_maxrss >> 10} MiB")
    assert a.end == "too-large" and a.usage.ru_maxrss < 96 << 10
    # A large answer that is one: 20 MB of pods, one after the other.
    many = [pod(f"uid-{i}", "a", labels={f"l{k}": "v" * 60 for k in range(64)}) for i in range(4000)] + [pod(UID, "a")]
    a = w.ask(good(many, namespace("a")))
    print(f"{len(json.dumps(pod_list(*many))) >> 20} MiB of pods: {a.end}; largest {a.usage.ru_maxrss >> 10} MiB")
    assert a.end == "answered" and UID in a.facts and a.usage.ru_maxrss < 96 << 10, (a.end, a.why)


def never(w):
    def silent(handler):
        time.sleep(60)

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(60):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(1)
    results = {}
    threads = [threading.Thread(target=lambda n=n, f=f: results.__setitem__(n, w.ask(lambda path, headers: f))) for n, f in
               (("silent", silent), ("drip", drip))]
    for t in threads:
        t.start()
    return threads, results


def docker(w):
    inspect = {"Id": CONTAINER, "Name": "/train", "Config": {"Image": "i:1", "Labels": {"tenant": "evil\x1b[2J", "y": "1"}}}
    sock = w.d / "docker.sock"
    section = f"docker: {{socket: {sock}}}\n"
    with Server(lambda path, h: (200, inspect) if path == f"/containers/{CONTAINER}/json" else (404, {"message": "No such container"}), unix=sock):
        a = Asked(w.d, section, CONTAINER, CONTAINER[::-1], source="docker")
        assert a.end == "answered" and a.facts == {CONTAINER: {"container-name": "train", "container-image": "i:1",
                                                               "container-label/tenant": "evil\x1b[2J", "container-label/y": "1"}}, (a.end, a.facts)
        # An id that Docker would complete is not another's.
        a = Asked(w.d, section, CONTAINER[:12], "../../info", source="docker")
        assert a.end == "answered" and not a.facts
    sock.unlink()
    assert Asked(w.d, section, CONTAINER, source="docker").end == "unreachable"


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-test-identity-") as d:
        w = World(Path(d))
        threads, results = never(w)  # in the background: they take their time
        for test in (answers, kubelet, refusals, garbage, too_much, docker):
            test(w)
            print("ok", test.__name__, flush=True)
        for t in threads:
            t.join()
        assert {n: a.end for n, a in results.items()} == {"silent": "timeout", "drip": "timeout"}, {n: (a.end, a.why) for n, a in results.items()}
        print("ok never")


main()
