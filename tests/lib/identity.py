# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that does what a test says: what an API server should answer, or should not. Certificates from openssl."""
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opm import BUILD, OPMETER, cgroup2_root, skip


def certificate(d, name):
    """A certificate of its own for 127.0.0.1; returns (certificate, key)."""
    crt, key = d / f"{name}.crt", d / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", crt], check=True, capture_output=True)
    return crt, key


def pod(uid, namespace, name="p", labels=None, node="n1", **metadata):
    return {"metadata": {"name": name, "namespace": namespace, "uid": uid, "labels": labels or {}, **metadata},
            "spec": {"nodeName": node, "serviceAccountName": "default", "containers": [{"name": "c"}]}}


def pod_list(*pods):
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": list(pods)}


def namespace(name, **labels):
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": {k.replace("__", "/"): v for k, v in labels.items()}}}


class Server:
    """`answer` is a function of (path, headers) that returns (status, body or object), or a function of the handler."""

    def __init__(self, answer, tls=None, port=0, unix=None):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def address_string(self):
                return "-"

            def do_GET(self):
                server.requests.append((self.path, dict(self.headers)))
                self.close_connection = True
                try:
                    got = server.answer(self.path, self.headers)
                    if callable(got):
                        got(self)
                        return
                    status, body = got
                    body = body if isinstance(body, bytes) else json.dumps(body).encode()
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass

        # Clients that refuse us, or go away, are what is tested.
        class Quiet:
            daemon_threads = True

            def handle_error(self, *_):
                pass

        class Unix(Quiet, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            pass

        class Network(Quiet, ThreadingHTTPServer):
            pass

        self.answer, self.requests = answer, []
        if unix:
            self.http = Unix(str(unix), Handler)
        else:
            self.http = Network(("127.0.0.1", port), Handler)
            self.port = self.http.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Judge:
    """The agent's judgements without its probes (tests/identity/rig.c), over cgroups of its own: needs root for those, and nothing else."""

    def __init__(self, name, rules, tenants=None):
        if os.geteuid() != 0:
            skip("needs root to make cgroups")
        self.tag = f"opmeter-test-{name}-{uuid.uuid4().hex[:8]}"
        self.dir = Path(tempfile.mkdtemp(prefix=self.tag + "-"))
        self.root = Path(cgroup2_root())
        self.cgroups = self.root / self.tag
        self.cgroups.mkdir()
        self.ledger, self.rules = self.dir / "ledger", self.dir / "identity.yaml"
        self.rules.write_text(rules)
        self.tenants = self.dir / "tenants.yaml"
        if tenants:
            self.tenants.write_text(tenants)
        self.proc, self.log = None, open(self.dir / "log", "ab")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print((self.dir / "log").read_text()[-4000:])
        if self.proc:
            self.kill()
        for _ in range(50):
            for d, _, _ in os.walk(self.cgroups, topdown=False):
                try:
                    os.rmdir(d)
                except OSError:
                    pass
            if not self.cgroups.exists():
                break
            time.sleep(0.1)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, wait=True):
        args = [BUILD / "tests/identity/rig", self.ledger, self.rules, *([self.tenants] if self.tenants.exists() else [])]
        self.proc = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                     env={**os.environ, "OPMETER_SELF": OPMETER})
        assert self.proc.stdout.readline() == "ready\n", "the rig did not start"

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.proc = None

    def stop(self):
        self.proc.stdin.close()
        assert self.proc.wait(timeout=60) == 0
        self.proc = None

    def work(self, path, ops):
        """A job in that cgroup, made if it is not there, computes something."""
        (self.cgroups / path).mkdir(parents=True, exist_ok=True)
        self.proc.stdin.write(f"/{self.tag}/{path} {ops}\n")
        self.proc.stdin.flush()
        assert self.proc.stdout.readline() == "done\n", "the rig ended"
        return ops

    def end(self, path):
        """The job's cgroup goes."""
        d = self.cgroups / path
        while d != self.cgroups:
            try:
                d.rmdir()
            except OSError:
                return
            d = d.parent

    def export(self, what):
        out = subprocess.run([OPMETER, "ledger", "export", f"--{what}", "--dir", self.ledger], check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def totals(self):
        """Operations by tenant and model, exact."""
        out = subprocess.run([OPMETER, "top", "--once", "--json", "--dir", self.ledger], check=True, capture_output=True, text=True).stdout
        return {(r["tenant"], r["model"]): int(r["all"]["high"]) for r in json.loads(out)}

    def said(self, path, kind="tenant"):
        """What was assigned to the job of a path, in order: value, rule, from, evidence, version."""
        entries = self.export("entries")
        job = next(e["payload"]["job"] for e in entries if e["kind"] == "job" and e["payload"]["path"] == f"/{self.tag}/{path}")
        return [(p["value"], p["author"]["rule"], p["from"], p["evidence"], p["author"]["version"])
                for p in (e["payload"] for e in entries if e["kind"] == "assignment") if p["job"] == job and p["kind"] == kind]

    def alerts(self):
        return [e["payload"]["data"]["sentence"] for e in self.export("entries") if e["kind"] == "alert"]

    def wait_for(self, condition, what, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"waited {timeout} s for {what}: {self.totals()}")
