# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver with etcd behind it, on loopback, in a temporary directory: no kubelet, no scheduler, no controllers. Pods are made as they
would be after scheduling, by binding them. `tests/kube/kube-build` makes the binaries."""
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from identity import free_port

BIN = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter"))) / "kube"
ADMIN = "opmeter-test-admin"


class Kube:
    def __init__(self, d):
        self.d, self.procs = Path(d), {}
        self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = self.d / "certs/apiserver.crt"
        subprocess.run(["openssl", "genrsa", "-out", self.d / "sa.key", "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", self.d / "sa.key", "-pubout", "-out", self.d / "sa.pub"], check=True, capture_output=True)
        (self.d / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n')
        # Its own certificate is made by the server, and needs one that names the address.
        (self.d / "certs").mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kube-apiserver", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", self.d / "certs/apiserver.key", "-out", self.ca], check=True, capture_output=True)

    def start(self, name, *args):
        log = open(self.d / f"{name}.log", "a")
        self.procs[name] = subprocess.Popen([BIN / name, *map(str, args)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def etcd_up(self):
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.start("etcd", "--data-dir", self.d / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                   "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--unsafe-no-fsync")

    def api_up(self):
        self.start("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--tls-cert-file={self.ca}",
                   f"--tls-private-key-file={self.d}/certs/apiserver.key", f"--token-auth-file={self.d}/tokens.csv", "--authorization-mode=RBAC",
                   "--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=opmeter-test", f"--service-account-key-file={self.d}/sa.pub",
                   f"--service-account-signing-key-file={self.d}/sa.key", "--disable-admission-plugins=ServiceAccount")
        end = time.monotonic() + 180
        while True:
            try:
                if self.call("GET", "/readyz", raw=True) == b"ok":
                    return
            except OSError:
                pass
            if self.procs["kube-apiserver"].poll() is not None or time.monotonic() > end:
                print((self.d / "kube-apiserver.log").read_text()[-3000:])
                raise AssertionError("kube-apiserver is not ready")
            time.sleep(0.2)

    def down(self, name):
        p = self.procs.pop(name, None)
        if p:
            p.terminate()
            try:
                p.wait(timeout=15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def close(self):
        self.down("kube-apiserver")
        self.down("etcd")

    def call(self, method, path, body=None, token=ADMIN, kind="application/json", raw=False):
        request = urllib.request.Request(self.url + path, method=method, data=json.dumps(body).encode() if body is not None else None,
                                         headers={"Authorization": f"Bearer {token}", "Content-Type": kind})
        with urllib.request.urlopen(request, timeout=20, context=ssl.create_default_context(cafile=self.ca)) as r:
            data = r.read()
            return data if raw else json.loads(data)

    # --- what tests make ---

    def namespace(self, name, **labels):
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {k.replace("__", "/"): v for k, v in labels.items()}}})

    def label(self, path, **labels):
        self.call("PATCH", path, {"metadata": {"labels": {k.replace("__", "/"): v for k, v in labels.items()}}}, kind="application/merge-patch+json")

    def node(self, name):
        self.call("POST", "/api/v1/nodes", {"metadata": {"name": name}})

    def pod(self, ns, name, node, labels=None):
        """Made and bound to a node; returns its uid."""
        made = self.call("POST", f"/api/v1/namespaces/{ns}/pods", {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"containers": [{"name": "c", "image": "none"}], "automountServiceAccountToken": False}})
        self.call("POST", f"/api/v1/namespaces/{ns}/pods/{name}/binding", {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}})
        return made["metadata"]["uid"]

    def agent_account(self, name, rules):
        """A service account with just these rights; returns a function that mints a token for it."""
        self.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
        group = "/apis/rbac.authorization.k8s.io/v1"
        self.call("POST", group + "/clusterroles", {"metadata": {"name": name}, "rules": rules})
        self.call("POST", group + "/clusterrolebindings", {
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]})
        return lambda: self.call("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token",
                                 {"spec": {"expirationSeconds": 600}})["status"]["token"]
