#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HTTP API over TLS, from a real broker and a real aggregator: totals to the last operation, never a part of them; pages
complete and without repetition while totals change; totals of tenants, families and jobs; tokens and their scopes; hostile clients."""
import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import *
from fleet import *

SIM = ["--seed", "23", "--nodes", "24", "--jobs", "60", "--days", "2"]
SENDING_S = 8
REQUEST_S = 3


def name_of(t):
    return t["tenant"], t["model"]


class Pager(threading.Thread):
    """Pages through all totals again and again while they change."""

    def __init__(self, api, token):
        super().__init__(daemon=True)
        self.api, self.token, self.stop, self.rounds, self.views, self.wrong = api, token, False, 0, set(), []
        self.seen = []

    def run(self):
        try:
            while not self.stop:
                items, views = self.api.pages("/v1/totals", self.token, "totals", limit=3)
                names = [name_of(t) for t in items]
                if len(names) != len(set(names)) or names != sorted(names):
                    self.wrong.append(f"twice or out of order: {names}")
                self.seen.append(set(names))
                self.rounds += 1
                self.views |= views
        except Exception as e:
            self.wrong.append(repr(e))

    def missed(self, names):
        """Of the names that are there at the end: those that a round missed after an earlier one had them."""
        known, out = set(), []
        for got in self.seen:
            out += known - got
            known |= got & names
        return out


def where(t):
    return f"/v1/lineages/{t['lineage']}" if t["group"] == "lineage" else f"/v1/models/{t['tenant']}/{t['model']}"


def of(t):
    return {part: {b: int(t[part][b]) for b in BOUNDS} for part in ("training", "all")}


def check_behind(api, token, totals):
    """Days and registers of each total: read from the topics anew, they come to the same, and the answer says so."""
    several = 0
    for t in totals:
        regs, _ = api.pages(where(t) + "/registers", token, "registers", limit=5)
        status, got = api.get(where(t) + "/series", token)
        assert status == 200 and got["check"]["agrees"] == "equal", (where(t), status, got.get("check", got))
        want = of(t) | {"registers": int(t["registers"])}
        assert of(got["check"]["sum"]) | {"registers": int(got["check"]["sum"]["registers"])} == want, where(t)
        days, sums = got["days"], {part: dict.fromkeys(BOUNDS, 0) for part in ("training", "all")}
        assert [d["day"] for d in days] == sorted({d["day"] for d in days})
        for d in days:
            for part in sums:
                for b in BOUNDS:
                    sums[part][b] += int(d[part + "_day"][b])
            assert of(d) == sums, (where(t), d)
        assert sums == of(t), where(t)
        several += len(days) > 1
        if len(days) > 1:
            one = api.get(where(t) + "/series", token, **{"from": days[1]["day"], "to": days[1]["day"]})[1]["days"]
            assert one == days[1:2]
        keys = [tuple(r["reading"][k] for k in ("ledger", "job", "day", "format", "meter")) for r in regs]
        assert len(set(keys)) == len(keys) == int(t["registers"]), where(t)
        if t["group"] == "model":
            assert all((r["tenant"], r["model"]) == name_of(t) for r in regs)
        assert {r["reading"]["day"] for r in regs} == {d["day"] for d in days}
        # What is asked for by shapes is exact there: the upper bound of all work holds it.
        asked = sum(int(r["reading"]["exact"]) for r in regs if r["reading"]["meter"] == "shape")
        assert asked <= int(t["all"]["ceiling"]), where(t)
    assert several, "no total has more than a day: the test shows nothing"
    assert api.get("/v1/models/nobody/nothing/series", token)[0] == 404 and api.get("/v1/lineages/none/registers", token)[0] == 404
    assert api.get(where(totals[0]) + "/series", token, **{"from": "yesterday"})[0] == 400


def check_bounds(broker, fleet, token, totals, tmp):
    """More registers than may be read: never a part of them."""
    few = Api(tmp, broker.brokers, fleet.name, fleet.regimes, tmp / "tokens", tmp, ["--registers-max", "3"])
    try:
        few.await_ready()
        largest = max(totals, key=lambda t: int(t["registers"]))
        assert int(largest["registers"]) > 3
        for target in ("/v1/forecasts", where(largest) + "/series", where(largest) + "/registers"):
            status, got = few.get(target, token)
            assert (status, got["reason"]) == (503, "too-many-registers"), (target, status, got)
    finally:
        assert few.close() == 0


def check_cursor(api, token, total):
    """A page goes on in the reading of the page before, or is refused."""
    at = where(total) + "/registers"
    one = api.get(at, token, limit=1)[1]
    again = api.get(at, token, limit=1, cursor=one["next"])[1]
    assert again["read"] == one["read"] and again["as_of"] == one["as_of"]
    raw = base64.urlsafe_b64decode(one["next"] + "=" * (-len(one["next"]) % 4))
    assert one["read"]["id"].encode() in raw
    other = base64.urlsafe_b64encode(raw.replace(one["read"]["id"].encode(), b"0" * 32)).decode().rstrip("=")
    status, got = api.get(at, token, limit=1, cursor=other)
    assert (status, got["reason"]) == (410, "other-reading"), (status, got)


def check_forecasts(api, token, models, lineages, threshold):
    rows, _ = api.pages("/v1/forecasts", token, "forecasts", limit=3)
    got = {name_of(r): r for r in rows if r["regime"] == "demo-1"}
    want = {name_of(t): t for t in models if int(t["training"]["high"])}
    assert got.keys() == want.keys() and len(rows) == len(got), got.keys() ^ want.keys()
    for name, r in got.items():
        low, high = (int(want[name]["training"][b]) for b in ("low", "high"))
        assert (int(r["observed"]["low"]), int(r["observed"]["high"]), int(r["threshold"])) == (low, high, threshold), r
        assert (r["state"] == "met") == (low >= threshold), r
        assert r["notice_due"] or r["state"] != "met"
        dates = [r[k] or "9999" for k in ("earliest", "likely", "latest")]
        assert r["state"] != "will-be-met" or dates == sorted(dates), r
    due, _ = api.pages("/v1/forecasts", token, "forecasts", due="true")
    assert due == [r for r in rows if r["notice_due"]]
    name = next(iter(got))
    one = api.get("/v1/forecasts", token, tenant=name[0], model=name[1])[1]["forecasts"]
    assert one == [got[name]]
    assert {r["lineage"] for r in api.get("/v1/forecasts", token, group="lineage")[1]["forecasts"]} == {t["lineage"] for t in lineages if int(t["training"]["high"])}
    assert api.get("/v1/forecasts", token, model="x")[0] == 400 and api.get("/v1/forecasts", token, regime="none")[1]["forecasts"] == []


OWNERS = """entities:
  - {id: parent, name: Secret Parent, headquarters: US, source: "a test", as-of: 2026-01-01, no-parent: true}
  - {id: child, name: Secret Child, headquarters: US, source: "a test", as-of: 2026-01-01,
     parents: [{entity: parent, share: 100%, source: "a test", as-of: 2026-01-01}]}
"""


def add(rows):
    """As of(), over several rows, with registers."""
    return {part: {b: sum(int(t[part][b]) for t in rows) for b in BOUNDS} for part in ("training", "all")}, sum(int(t["registers"]) for t in rows)


def check_groups(api, token, models, lineages):
    """Tenants, families and jobs are sums of the same operations, to the last one, and come in pages."""
    tenants, _ = api.pages("/v1/totals", token, "totals", group="tenant", limit=2)
    names = [t["tenant"] for t in tenants]
    assert names == sorted({t["tenant"] for t in models}) and all(t["group"] == "tenant" for t in tenants)
    for t in tenants:
        mine = [m for m in models if m["tenant"] == t["tenant"]]
        assert add([t]) == add(mine) and t["models"] == len(mine), t
    assert api.get("/v1/totals", token, group="tenant", tenant=names[0])[1]["totals"] == tenants[:1]
    several = 0
    for total in sorted(models, key=lambda t: -int(t["registers"]))[:2] + lineages[:1]:
        of_what = {"lineage": total["lineage"]} if total["group"] == "lineage" else {"tenant": total["tenant"], "model": total["model"]}
        jobs, _ = api.pages("/v1/totals", token, "totals", group="job", limit=2, **of_what)
        keys = [(j["ledger"], j["job"], j["tenant"]) for j in jobs]
        assert keys == sorted(set(keys)) and add(jobs) == add([total]), (of_what, len(jobs))
        regs, _ = api.pages(where(total) + "/registers", token, "registers", limit=1000)
        assert {k[:2] for k in keys} == {(r["reading"]["ledger"], r["reading"]["job"]) for r in regs}, of_what
        several += len(jobs) > 2
    assert several, "no total has more than a page of jobs: the test shows nothing"
    for bad in ({"group": "job"}, {"group": "job", "tenant": names[0]}, {"group": "job", "lineage": "x", "tenant": "y"}, {"group": "tenant", "model": "x"},
                {"group": "tenant", "largest": 3}, {"group": "job", "tenant": "a", "model": "b", "cursor": "AAAA"}, {"group": "nonsense"}):
        assert api.get("/v1/totals", token, **bad)[0] == 400, bad
    assert api.get("/v1/totals", token, group="job", tenant="nobody", model="nothing")[0] == 404
    return names


def check_families(broker, fleet, token, one, models, tmp):
    """Two tenants of one parent are a family; who it is, and whose it is, no answer says."""
    owned = [n for n in sorted({t["tenant"] for t in models if int(t["all"]["high"])}) if n != "unknown"][:2]
    binding = "tenants:\n" + "".join(f"  - {{tenant: {n}, entity: child}}\n" for n in owned)
    (tmp / "owners.yaml").write_text(OWNERS + binding)
    kin = Api(tmp, broker.brokers, fleet.name, fleet.regimes, tmp / "tokens", tmp, ["--owners", tmp / "owners.yaml"])
    try:
        kin.await_ready()
        end = time.monotonic() + 60
        while True:
            families, _ = kin.pages("/v1/totals", token, "totals", group="family", limit=1)
            got, _ = kin.pages("/v1/totals", token, "totals", limit=1000)
            members = [t for t in got if t["tenant"] in owned]
            if len(families) == 1 and families[0]["all"]["high"] == str(sum(int(t["all"]["high"]) for t in members)):
                break
            assert time.monotonic() < end, (families, members)
            time.sleep(0.2)
        f = families[0]
        assert (f["tenants"], f["models"], f["training"]["low"]) == (2, len(members), "0") and f["family"].startswith("family/"), f
        assert int(f["training"]["high"]) == sum(int(t["training"]["high"]) for t in members)
        assert int(f["largest_high"]) == max(sum(int(t["training"]["high"]) for t in members if t["tenant"] == n) for n in owned)
        text = json.dumps(families)
        assert not [n for n in (*owned, "Secret", "parent", "child") if n in text], text
        assert kin.get("/v1/totals", one, group="family")[0] == 403 and kin.get("/v1/totals", token, group="family", tenant=owned[0])[0] == 400
        # What is wrong leaves what there was; what is right is read anew, without anybody's word.
        (tmp / "owners.yaml").write_text("nonsense: true\n")
        kin.p.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while "stays in use" not in kin.log.read_text():
            assert time.monotonic() < end, kin.log.read_text()
            time.sleep(0.1)
        assert kin.get("/v1/totals", token, group="family")[1]["totals"] == families
        (tmp / "owners.yaml").write_text(OWNERS + binding.replace(f"tenant: {owned[1]}", "tenant: somebody-else") + "...\n")
        end = time.monotonic() + 90
        while kin.get("/v1/totals", token, group="family")[1]["totals"]:
            assert time.monotonic() < end, kin.log.read_text()
            time.sleep(0.2)
    finally:
        assert kin.close() == 0


def check_clients(api, broker, fleet, token, models, lineages, tmp):
    """totals, top and forecast over the API, and totals straight from the topics."""
    (tmp / "token").write_text(token + "\n")
    (tmp / "wrong").write_text("opm_nobody\n")
    over = ["--api", api.url + "/", "--ca", tmp / "ca.pem", "--token-file", tmp / "token"]

    def run(*args, rc=0):
        r = subprocess.run([str(a) for a in (OPMETER, *args)], capture_output=True, text=True, timeout=120)
        assert r.returncode == rc, (args, r.returncode, r.stderr)
        return r.stdout if rc == 0 else r.stderr

    rows = lambda text: [json.loads(line) for line in text.splitlines()]
    assert rows(run("totals", *over, "--json")) == models
    assert rows(run("totals", *over, "--lineages", "--json")) == lineages
    assert rows(run("totals", "--brokers", broker.brokers, "--name", fleet.name, "--json")) == models
    one = models[0]
    assert rows(run("totals", *over, "--json", "--tenant", one["tenant"], "--model", one["model"])) == [one]
    assert rows(run("totals", "--brokers", broker.brokers, "--name", fleet.name, "--json", "--lineage", lineages[0]["lineage"])) == lineages[:1]
    tenants, _ = api.pages("/v1/totals", token, "totals", group="tenant")
    assert rows(run("totals", *over, "--json", "--group", "tenant")) == tenants
    jobs, _ = api.pages("/v1/totals", token, "totals", group="job", tenant=one["tenant"], model=one["model"])
    assert rows(run("totals", *over, "--json", "--group", "job", "--tenant", one["tenant"], "--model", one["model"])) == jobs
    assert jobs[0]["job"][:20] in run("totals", *over, "--group", "job", "--tenant", one["tenant"], "--model", one["model"])
    run("totals", *over, "--group", "nonsense", rc=2)
    run("totals", "--brokers", broker.brokers, "--name", fleet.name, "--group", "tenant", rc=2)
    assert "--owners" in run("totals", *over, "--group", "family", rc=1)
    table = run("totals", *over).splitlines()
    assert len(table) == len(models) + 1 and table[0].startswith("TENANT") and one["tenant"] in table[1]
    top = json.loads(run("top", *over, "--once", "--json"))
    assert top == sorted(models, key=lambda t: (-int(t["all"]["high"]), name_of(t)))[:50]
    assert api.get("/v1/totals", token)[1]["as_of"]["view"][:12] in run("top", *over, "--once")
    want, _ = api.pages("/v1/forecasts", token, "forecasts")
    assert rows(run("forecast", *over, "--json")) == want and want
    assert len(run("forecast", *over).splitlines()) == len(want) + 1
    assert "403" not in run("totals", *over[:-1], tmp / "wrong", rc=4)
    assert "--token-file" in run("totals", *over[:4], rc=2)
    for far in ("far.example:1", "localhost:x@far.example/", "localhost@far.example", "127.0.0.1.far.example"):
        assert "TLS" in run("totals", "--api", "http://" + far, "--token-file", tmp / "token", rc=2), far
    run("totals", "--api", api.url, "--token-file", tmp / "token", rc=1)  # a CA that this machine does not know
    run("totals", rc=2)


class Reader(threading.Thread):
    """Asks for days while totals grow: what is read is never said to be what it is not."""

    def __init__(self, api, token):
        super().__init__(daemon=True)
        self.api, self.token, self.stop, self.agrees, self.wrong = api, token, False, [], []

    def run(self):
        try:
            while not self.stop:
                totals = self.api.get("/v1/totals", self.token, largest=1)[1]["totals"]
                status, got = self.api.get(where(totals[0]) + "/series", self.token) if totals else (404, {})
                if status == 200:
                    self.agrees.append(got["check"]["agrees"])
                    same = of(got["check"]["sum"]) in (of(got["check"]["before"]), of(got["check"]["after"]))
                    if same != (got["check"]["agrees"] == "equal"):
                        self.wrong.append(got["check"])
        except Exception as e:
            self.wrong.append(repr(e))


def check_scopes(api, tokens, truth, tmp):
    tenants = sorted({k[1] for k in truth_sums(truth) if k[0] == "model" and k[1] != "unknown"})
    mine, other = tenants[0], tenants[1]
    model = next(k[2] for k in sorted(truth_sums(truth)) if k[0] == "model" and k[1] == other)
    one = make_token(tokens, "one", f"tenants={mine}")
    metrics = make_token(tokens, "prometheus", "metrics")
    assert api.get("/v1/totals", one)[0] == 401, "a token counts before the file was read again"
    api.p.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while api.get("/v1/totals", one)[0] == 401:
        assert time.monotonic() < end, "the tokens were not read again"
        time.sleep(0.05)
    rows, _ = api.pages("/v1/totals", one, "totals", limit=1)
    assert rows and {t["tenant"] for t in rows} == {mine}
    want = {k: v for k, v in truth_sums(truth).items() if k[0] == "model" and k[1] == mine}
    assert not differences(want, sums_of(rows))
    # What is another tenant's is refused in the same words whether it is there or not.
    there = [api.get(p, one) for p in (f"/v1/models/{other}/{model}", f"/v1/models/{other}/{model}/series", f"/v1/models/{other}/none/registers",
                                       f"/v1/forecasts?tenant={other}", "/v1/forecasts?tenant=nobody", "/v1/forecasts?group=lineage", f"/v1/models/{other}/nothing", "/v1/models/nobody/nothing", "/v1/lineages/line-1",
                                       "/v1/lineages/none", f"/v1/totals?tenant={other}", "/v1/totals?tenant=nobody", "/v1/totals?group=lineage",
                                       f"/v1/totals?group=tenant&tenant={other}", "/v1/totals?group=family", f"/v1/totals?group=job&tenant={other}&model={model}", "/v1/totals?group=job&lineage=line-1",
                                       f"/v1/alerts?tenant={other}", "/metrics")]
    assert all(status == 403 and body == there[0][1] for status, body in there), there
    assert api.get(f"/v1/models/{mine}/nothing", one)[0] == 404
    status, page = api.get("/v1/alerts", one, limit=1000)
    assert status == 200 and all(a["event"]["subject"].split("/")[0] == mine for a in page["alerts"])
    mine_only, _ = api.pages("/v1/forecasts", one, "forecasts")
    assert mine_only and {r["tenant"] for r in mine_only} == {mine}
    sums, _ = api.pages("/v1/totals", one, "totals", group="tenant")
    assert [t["tenant"] for t in sums] == [mine] and add(sums) == add(rows)
    jobs, _ = api.pages("/v1/totals", one, "totals", group="job", tenant=mine, model=rows[0]["model"])
    assert add(jobs) == add(rows[:1])
    row = rows[0]
    _, behind = api.get(where(row) + "/series", one)
    assert behind["check"]["agrees"] == "equal" and set(behind["read"]) == {"id", "time"} and "dropped" not in page
    assert all(set(a["as_of"]) == {"view", "fleet", "time"} for a in (page, behind))
    text = json.dumps([rows, page, mine_only])
    assert not [t for t in tenants if t != mine and t in text], "another tenant is named"
    assert api.ask("/metrics", metrics)[0] == 200 and api.get("/v1/totals", metrics)[0] == 403
    # A file that cannot be read leaves what there was.
    good = tokens.read_text()
    tokens.write_text("nonsense\n")
    api.p.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert api.get("/v1/totals", one)[0] == 200 and api.p.poll() is None
    tokens.write_text(good)
    return mine, one


def raw(api, data, seconds=10, wait=True):
    """What comes back for these bytes over TLS; None: the connection ended without an answer."""
    s = api.context.wrap_socket(socket.create_connection(("127.0.0.1", api.port), timeout=seconds), server_hostname="127.0.0.1")
    try:
        s.sendall(data)
        out = b""
        while wait:
            more = s.recv(65536)
            if not more:
                break
            out += more
        return out
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return None
    finally:
        s.close()


def check_hostile(api, token):
    auth = f"Authorization: Bearer {token}\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    for target, want in ((b"/" + b"a" * 5000, 414), (b"/v1/models/%ff/x", 400), (b"/v1/models/a%00b/x", 400), (b"/v1//totals", 400), (b"/v1/totals/", 400),
                         (b"/v1/totals?limit=0", 400), (b"/v1/totals?limit=99999999999999999999", 400), (b"/v1/totals?limit=1&limit=2", 400), (b"/v1/totals?nonsense=1", 400),
                         (b"/v1/totals?cursor=%22", 400), (b"/v1/totals?cursor=AAAA", 400), (b"/v1/totals?group=family", 400), (b"/v1/totals?largest=5&group=lineage", 400),
                         (b"/../../etc/passwd", 404), (b"/v1/models/..%2f..%2fetc/passwd", 404), (b"/v1/totals?tenant=%zz", 400), (b"/nothing", 404),
                         (b"/healthz?x=1", 400), (b"/metrics?x=1", 400), (b"/v1/totals?" + b"a" * 59 + b"%C3%A9", 400), (b"/v1/alerts?severity=loud", 400), (b"/v1/alerts?since=yesterday", 400), (b"/" + b"a/" * 9 + b"a", 414)):
        answer = raw(api, b"GET " + target + b" HTTP/1.1\r\n" + auth)
        status = int(answer.split()[1]) if answer else None
        assert status == want, (target[:60], status, want)
        if status != 414 or len(target) < 5000:
            problem = json.loads(answer.split(b"\r\n\r\n", 1)[1])
            assert problem["status"] == want and problem["detail"], problem
    # Nothing of it is a request: it ends in an error or an end, and the server goes on.
    for junk in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n", os.urandom(2000)):
        answer = raw(api, junk)
        assert answer is None or not answer.startswith(b"HTTP/1.1 200"), answer[:80]
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = api.ask("/v1/totals", token, method=method)
        assert status == 405 and headers["Allow"] == "GET, HEAD", method
    # A connection stays open from answer to answer, after a refusal and after a body that nobody asked for, too.
    c = api.connect()
    for target, body, want in (("/v1/totals", None, 200), ("/v1/totals?limit=0", None, 400), ("/livez", b"x" * 100000, 200), ("/livez", None, 200)):
        c.request("GET", target, body=body, headers={"Authorization": f"Bearer {token}"})
        socket_before = c.sock
        r = c.getresponse()
        assert r.status == want and r.read() and c.sock is socket_before, (target, r.status, "the connection is closed")
    c.close()
    status, headers, body = api.ask("/v1/totals", token, method="HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 100
    for bad in ("", "opm_", token[:-1], token + "x", token.upper(), "x" * 5000):
        status, headers, _ = api.ask("/v1/totals", headers={"Authorization": f"Bearer {bad}"})
        assert status == 401 and headers["WWW-Authenticate"] == "Bearer", bad[:50]
    assert api.get("/v1/totals")[0] == 401 and api.ask("/metrics")[0] == 401
    assert api.ask("/v1/totals", headers={"Authorization": f"Basic {token}"})[0] == 401


def check_slow(api):
    """A client that sends a byte now and then is cut off, and holds nobody up."""
    plain = socket.create_connection(("127.0.0.1", api.port))
    s = api.context.wrap_socket(plain, server_hostname="127.0.0.1")
    idle = socket.create_connection(("127.0.0.1", api.port))  # never even shakes hands
    begin, text = time.monotonic(), b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000
    cut = False
    for i in range(len(text)):
        try:
            s.sendall(text[i:i + 1])
            s.settimeout(0.2)
            if s.recv(1) == b"":
                cut = True
        except TimeoutError:
            pass
        except OSError:
            cut = True
        if cut:
            break
        assert api.get("/healthz")[0] == 200
        assert time.monotonic() - begin < 20, "a slow client is never cut off"
    s.close()
    idle.settimeout(20)
    try:
        assert idle.recv(1) == b""
    except ConnectionError:
        pass
    idle.close()


def check_tls(api, tmp):
    """Old TLS is refused, and so is listening in the clear where others can reach it."""
    warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(tmp / "ca.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        old.wrap_socket(socket.create_connection(("127.0.0.1", api.port)), server_hostname="127.0.0.1")
        raise AssertionError("TLS 1.1 is spoken")
    except (ssl.SSLError, ConnectionError):
        pass
    new = api.context.wrap_socket(socket.create_connection(("127.0.0.1", api.port)), server_hostname="127.0.0.1")
    assert new.version() in ("TLSv1.2", "TLSv1.3")
    new.close()
    r = subprocess.run([OPMETER, "api", "serve", "--brokers", "127.0.0.1:1", "--tokens", tmp / "tokens", "--listen", "0.0.0.0:0", "--regimes", "data/regimes"],
                       capture_output=True, text=True, cwd=SOURCE)
    assert r.returncode == 2 and len(r.stderr.splitlines()) == 1 and "--tls-cert" in r.stderr, (r.returncode, r.stderr)


def check_certificate(api, tmp, token):
    """A new certificate is taken on SIGHUP, by new connections; a file that is none leaves the old one."""
    def serial():
        s = api.context.wrap_socket(socket.create_connection(("127.0.0.1", api.port)), server_hostname="127.0.0.1")
        with s:
            return s.getpeercert()["serialNumber"]
    before = serial()
    kept = (tmp / "server.pem").read_text()
    (tmp / "server.pem").write_text("nonsense")
    api.p.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert serial() == before and api.get("/v1/totals", token)[0] == 200
    (tmp / "server.pem").write_text(kept)
    make_certificate(tmp)
    api.p.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while serial() == before:
        assert time.monotonic() < end, "the new certificate is not taken"
        time.sleep(0.05)
    assert api.get("/v1/totals", token)[0] == 200


def check_jobs(broker, api, token, tenants_token):
    """A process that was sent: its job instance, by whoever may see its tenant; what nobody has and what others have is told alike."""
    p = json.loads((SOURCE / "tests/golden/process_v1.json").read_text())
    event = {"specversion": "1.0", "id": "process-1", "source": f"/opmeter/{p['ledger']}", "type": "opmeter.process.v1", "time": p["at"], "data": p}
    subprocess.run([BUILD / "tests/kafka/produce", "--brokers", broker.brokers, "--topic", "opmeter.processes.v1"],
                   input=f"{p['ledger']}/{p['job']}/{p['process']}\t{json.dumps(event)}\n", text=True, check=True)
    at, end = f"/v1/jobs/{p['ledger']}/{p['job']}", time.monotonic() + 60
    while (got := api.get(at, token))[0] != 200:
        assert got[1]["reason"] in ("not-ready", "no-such-job") and time.monotonic() < end, got
        time.sleep(0.1)
    (one,) = got[1]["job"]["processes"]
    assert one["phase"]["executed"] == p["phase"]["executed"] and one["tenant"] == p["tenant"] and one["model"]["layers"] == p["model"]["layers"], one
    status, other = api.get(at, tenants_token)
    assert (status, other["reason"]) == (404, "no-such-job"), other
    assert other == api.get(at.replace(p["job"], "f" * 32), tenants_token)[1]
    assert api.get("/v1/jobs/x/y", token)[0] == 400
    assert api.get("/v1/job-lineages", token)[1]["lineages"]["runs"] == 1
    assert api.get("/v1/job-lineages", tenants_token)[0] == 403


def check_report(api, token, models, tmp):
    """The report of a period is what the days of each model add; a half of the days is what they add, and the rest is said to be of all days."""
    (tmp / "token").write_text(token + "\n")
    args = [OPMETER, "report", "period", "--api", f"https://127.0.0.1:{api.port}", "--token-file", tmp / "token", "--ca", tmp / "ca.pem"]
    run = lambda *more: json.loads(subprocess.run([*args, *more], check=True, capture_output=True, text=True, cwd=SOURCE).stdout)
    report = run()
    rows = {(r["tenant"], r["model"]): r for r in report["rows"]}
    want = {name_of(t): t for t in models if int(t["registers"])}
    assert rows.keys() == want.keys() and "by its API" in report["scope"], rows.keys() ^ want.keys()
    for name, r in rows.items():
        got = {part: {b: int(r[f"{part}_{b}"]) for b in BOUNDS} for part in ("training", "all")}
        assert got == of(want[name]), (name, got)
        assert r["registers"] == f"of all days: {want[name]['registers']}", r
    name = max(want, key=lambda n: int(want[n]["registers"]))
    days = api.get(where(want[name]) + "/series", token)[1]["days"]
    later = run("--tenant", name[0], "--from", days[1]["day"])
    (row,) = [r for r in later["rows"] if r["model"] == name[1]]
    assert int(row["training_low"]) == sum(int(x["training_day"]["low"]) for x in days[1:]) and row["first_day"] == days[1]["day"], row
    assert {r["tenant"] for r in later["rows"]} == {name[0]}
    assert run("--tenant", name[0], "--to", "2020-01-01")["rows"] == []


def check_regimes(api, token, models, directory):
    """A regime that is new is answered by without a restart; one that is none leaves what there was."""
    law = directory / "late.yaml"
    said = lambda: {r["regime"] for r in api.pages("/v1/forecasts", token, "forecasts", limit=1000)[0]}
    near = lambda: 'opmeter_regime_nearest_ratio{regime="late",' in api.ask("/metrics", token)[2].decode()
    assert said() == {"demo-1"} and not near()
    good = next(directory.glob("demo-1*.yaml")).read_text().replace("demo-1", "late").replace("mode: enforce", "mode: notice")
    law.write_text(good)
    end = time.monotonic() + 60
    while said() != {"demo-1", "late"} or not near():
        assert time.monotonic() < end, f"the new regime is not read: {said()}"
        time.sleep(0.2)
    law.write_text(good[:len(good) // 2])
    api.p.send_signal(signal.SIGHUP)
    while "regimes: what was read before stays in use" not in api.log.read_text():
        assert time.monotonic() < end, "the damaged file is not named"
        time.sleep(0.1)
    assert said() == {"demo-1", "late"} and near()
    law.write_text(good)


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-api-") as tmp:
        tmp = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "6", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        make_ca(tmp)
        token = make_token(tmp / "tokens", "all", "all")
        description = Description.load()
        subprocess.run([FLEETSIM, "--dry", "--truth", tmp / "dry.json", *SIM], check=True)
        dry = json.loads((tmp / "dry.json").read_text())
        threshold = choose_threshold(dry)
        fleet = Fleet(broker, "fleet-a", [Regime("demo-1", threshold)], tmp, ["--seal-after", "24h"])
        apis = []
        try:
            start = lambda: apis.append(Api(tmp, broker.brokers, fleet.name, fleet.regimes, tmp / "tokens", tmp, ["--request-time", f"{REQUEST_S}s"], description)) or apis[-1]
            api = start()
            # Nobody has published a total: there is none, not a total of nothing.
            for _ in range(20):
                status, body = api.get("/v1/totals", token)
                assert status == 503 and body["reason"] == "not-ready" and body["detail"], (status, body)
                time.sleep(0.05)
            assert api.get("/healthz")[0] == 503 and api.get("/livez")[0] == 200
            check_tls(api, tmp)
            fleet.start("--interval", "300ms")
            rate = max(1, (dry["readings"] + dry["assignments"]) // SENDING_S)
            sim = subprocess.Popen([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / "truth.json", "--rate", str(rate), *SIM])
            api.await_ready()
            pager, reader = Pager(api, token), Reader(api, token)
            pager.start()
            reader.start()
            assert sim.wait(timeout=120) == 0
            truth = json.loads((tmp / "truth.json").read_text())
            want, end = truth_sums(truth), time.monotonic() + 30
            while True:
                models, views = api.pages("/v1/totals", token, "totals", limit=7)
                lineages, more = api.pages("/v1/totals", token, "totals", group="lineage", limit=2)
                left = differences(want, sums_of(models + lineages))
                if not left and len(views | more) == 1:
                    break
                assert time.monotonic() < end, "\n".join(left[:10]) or "the totals do not rest"
                time.sleep(0.2)
            pager.stop = reader.stop = True
            pager.join()
            reader.join()
            assert not pager.wrong, "\n".join(pager.wrong[:5])
            assert not reader.wrong and reader.agrees, reader.wrong[:3]
            assert not pager.missed({name_of(t) for t in models}), "a total was missed while others changed"
            assert len(pager.views) > 2, "the totals did not change while they were paged through"
            # A second instance says the same, to the view; so does each total by itself.
            twin = start()
            twin.await_ready()
            end = time.monotonic() + 15
            while True:  # rounds without a change of any total may still come
                both = [a.pages("/v1/totals", token, "totals", limit=10000) for a in (api, twin)]
                assert both[0][0] == models, "totals changed though nothing came"
                if both[0] == both[1]:
                    break
                assert time.monotonic() < end, "two instances differ"
                time.sleep(0.2)
            for t in models + lineages:
                assert twin.get(where(t), token)[1]["total"] == t, where(t)
            check_behind(twin, token, sorted(models, key=lambda t: -int(t["registers"]))[:3] + [t for t in models if t["tenant"] == "unknown"][:1] + lineages[:2])
            check_groups(twin, token, models, lineages)
            check_cursor(twin, token, max(models, key=lambda t: int(t["registers"])))
            check_bounds(broker, fleet, token, models, tmp)
            check_clients(twin, broker, fleet, token, models, lineages, tmp)
            check_forecasts(twin, token, models, lineages, threshold)
            largest = twin.get("/v1/totals", token, largest=5)[1]["totals"]
            by_size = sorted(models, key=lambda t: (-int(t["all"]["high"]), name_of(t)))
            assert largest == by_size[:5]
            expected = expected_alerts(truth, [Regime("demo-1", threshold)], fleet.source)
            got, _ = api.pages("/v1/alerts", token, "alerts", type="opmeter.alert.level.v1", limit=2)
            ids = [a["event"]["id"] for a in got]
            assert len(ids) == len(set(ids)) and expected.keys() <= set(ids), "alerts are missing or there twice"
            assert [a["event"]["time"] for a in got] == sorted(a["event"]["time"] for a in got)
            _, one = check_scopes(api, tmp / "tokens", truth, tmp)
            check_families(broker, fleet, token, one, models, tmp)
            check_jobs(broker, api, token, one)
            check_certificate(api, tmp, token)
            check_report(api, token, models, tmp)
            check_regimes(api, token, models, Path(fleet.regimes))
            check_hostile(api, token)
            check_slow(api)
            assert api.get("/v1/totals", token)[0] == 200
            served = api.get("/openapi.json")[1]
            assert served == json.loads((SOURCE / "docs/openapi.json").read_text()), "what is served is not what is committed"
            api.ask("/metrics", token)
            assert not description or not description.unseen(), f"described, but never answered: {description.unseen()}"
            assert api.close() == 0 and twin.close() == 0
            print(f"{len(models)} models, {len(lineages)} lineages equal; {pager.rounds} times paged through over {len(pager.views)} states; "
                  f"days read {len(reader.agrees)} times meanwhile: " + ", ".join(f"{reader.agrees.count(k)} {k}" for k in ("equal", "between", "no")))
        except BaseException:
            print(fleet.logs(), *[a.log.read_text()[-2000:] for a in apis], sep="\n", file=sys.stderr)
            raise
        finally:
            for a in apis:
                a.close()
            fleet.close()


main()
