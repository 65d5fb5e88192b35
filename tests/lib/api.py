# SPDX-License-Identifier: Apache-2.0
"""What the tests of the HTTP API share: a CA of the test's own, tokens, a server, and a plain client."""
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from opm import CACHE, OPMETER

BOUNDS = ("low", "high", "ceiling")


def make_ca(d):
    """ca.pem, and server.pem with server.key for 127.0.0.1, as an administrator makes them."""
    run = lambda *a: subprocess.run(["openssl", *map(str, a)], check=True, capture_output=True)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d / "ca.key", "-out", d / "ca.pem", "-days", "2", "-subj", "/CN=opmeter-test-ca")
    (d / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    make_certificate(d)


def make_certificate(d):
    run = lambda *a: subprocess.run(["openssl", *map(str, a)], check=True, capture_output=True)
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", d / "server.key", "-out", d / "server.csr", "-subj", "/CN=127.0.0.1")
    run("x509", "-req", "-in", d / "server.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", d / "san",
        "-out", d / "server.pem")


def make_token(path, name, scope):
    return subprocess.run([OPMETER, "api", "token", "--tokens", path, "--name", name, "--scope", scope], check=True, capture_output=True,
                          text=True).stdout.strip()


class Description:
    """docs/openapi.json: whether it is one, and whether an answer is as it says. Without the validator's packages: None."""

    @classmethod
    def load(cls):
        if not (CACHE / "openapi/.complete").exists():
            print("openapi: answers are not held to docs/openapi.json: no validator (`tools/deps check`)", file=sys.stderr)
            return None
        sys.path.insert(0, str(CACHE / "openapi"))
        return cls()

    def __init__(self):
        from jsonschema import Draft202012Validator, FormatChecker
        from openapi_spec_validator import OpenAPIV31SpecValidator, validate

        self.doc = json.loads((Path(__file__).resolve().parents[2] / "docs/openapi.json").read_text())
        validate(self.doc, cls=OpenAPIV31SpecValidator)
        self.validator = lambda schema: Draft202012Validator(schema | {"components": self.doc["components"]}, format_checker=FormatChecker())
        self.held = {}  # operation: the statuses that were seen

    def operation(self, target):
        parts = target.split("?")[0].split("/")[1:]
        for path, item in self.doc["paths"].items():
            names = path.split("/")[1:]
            if len(names) == len(parts) and all(n == p or (n.startswith("{") and p) for n, p in zip(names, parts)):
                return item["get"]
        return None

    def resolve(self, o):
        while "$ref" in o:
            at = self.doc
            for name in o["$ref"].split("/")[1:]:
                at = at[name]
            o = at
        return o

    def check(self, target, status, headers, body):
        """Asserts that the answer to a GET is one that is described."""
        op = self.operation(target)
        if op is None:
            assert status in (400, 401, 404, 414), f"{target}: not described, and answered with {status}"
            return
        name = op["operationId"]
        assert str(status) in op["responses"], f"{target}: {status} is not described"
        answer = self.resolve(op["responses"][str(status)])
        kind = headers["Content-Type"].split(";")[0]
        assert kind in answer["content"], f"{target}: {status} as {kind}"
        for header, spec in answer.get("headers", {}).items():
            assert header in headers, f"{target}: {status} without {header}"
        if kind.endswith("json"):
            errors = list(self.validator(answer["content"][kind]["schema"]).iter_errors(json.loads(body)))
            assert not errors, f"{target}: {status}: {errors[0].json_path}: {errors[0].message[:300]}"
        self.held.setdefault(name, set()).add(status)

    def unseen(self):
        return {op["get"]["operationId"] for op in self.doc["paths"].values()} - {n for n, s in self.held.items() if 200 in s}


class Api:
    """One instance of `opmeter api serve`. tls: the directory of make_ca(), or None."""

    def __init__(self, directory, brokers, fleet, regimes, tokens, tls=None, options=(), description=None):
        self.dir, self.tls, self.description = Path(directory), tls, description
        self.log = self.dir / f"api-{time.monotonic_ns()}.log"
        cmd = [OPMETER, "api", "serve", "--brokers", brokers, "--name", fleet, "--regimes", regimes, "--listen", "127.0.0.1:0", "--tokens", tokens, *options]
        if tls:
            cmd += ["--tls-cert", tls / "server.pem", "--tls-key", tls / "server.key"]
        with open(self.log, "ab") as log:
            self.p = subprocess.Popen([str(a) for a in cmd], stdout=log, stderr=log)
        self.port = self.await_port()
        self.context = ssl.create_default_context(cafile=tls / "ca.pem") if tls else None
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def await_port(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for line in self.log.read_text().splitlines():
                if ", port " in line:
                    return int(line.split(", port ")[1].split(",")[0])
            assert self.p.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError("the server does not listen: " + self.log.read_text())

    def connect(self, timeout=60):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, target, token=None, method="GET", headers=None, **params):
        """(status, headers, body as it came)."""
        c = self.connect()
        try:
            c.request(method, target + ("?" + urlencode(params) if params else ""), headers={**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})})
            r = c.getresponse()
            answer = r.status, r.headers, r.read()
            if self.description and method == "GET":
                self.description.check(target, *answer)
            return answer
        finally:
            c.close()

    def get(self, target, token=None, **params):
        """(status, JSON)."""
        status, _, body = self.ask(target, token, **params)
        return status, json.loads(body)

    def pages(self, target, token, key, **params):
        """All pages: (items, the states of the totals that they are of)."""
        items, views, cursor = [], set(), None
        while True:
            status, page = self.get(target, token, **params, **({"cursor": cursor} if cursor else {}))
            assert status == 200, (status, page)
            items += page[key]
            views.add(page["as_of"]["view"])
            cursor = page["next"]
            if cursor is None:
                return items, views

    def await_ready(self, timeout=60):
        end = time.monotonic() + timeout
        while self.get("/healthz")[0] != 200:
            assert time.monotonic() < end and self.p.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def close(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
                raise AssertionError("the server does not end")
        return self.p.returncode


def sums_of(items):
    """As fleet.truth_sums() has them."""
    out = {}
    for t in items:
        at = ("lineage", t["lineage"]) if t["group"] == "lineage" else ("model", t["tenant"], t["model"])
        assert at not in out, f"twice: {at}"
        out[at] = {f"{part}.{b}": int(t[part][b]) for part in ("all", "training") for b in BOUNDS} | {"registers": int(t["registers"])}
    return out
