#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes a real server over TLS with a token for metrics: the page is OpenMetrics, every metric that an alert rule names is there, its samples
are bounded however many tenants there are, figures are rounded outward, and rules fire for a fleet without a judge."""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import *
from fleet import *

SIM = ["--seed", "31", "--nodes", "24", "--jobs", "60", "--days", "2"]
TOP = 3
RULES = SOURCE / "data/prometheus/opmeter.rules.yml"
PROMETHEUS = CACHE / "prometheus/usr/bin/prometheus"


def metrics_of_rules():
    exprs = re.sub(r"(?m)^\s*(#|-? ?alert|annotations|summary|description|labels|for).*$", "", RULES.read_text())
    return sorted(set(re.findall(r"\bopmeter_[a-z0-9_]+", exprs)))


class Prometheus:
    def __init__(self, tmp, api, token):
        (tmp / "metrics-token").write_text(token)
        self.port = free_port(1)
        # Waits that a person would want are shortened: what is tested is the expression and the metric.
        rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text())
        (tmp / "rules.yml").write_text(rules)
        (tmp / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(tmp / "rules.yml")],
            "scrape_configs": [{"job_name": "opmeter", "scheme": "https", "tls_config": {"ca_file": str(tmp / "ca.pem")},
                                "authorization": {"credentials_file": str(tmp / "metrics-token")}, "static_configs": [{"targets": [f"127.0.0.1:{api.port}"]}]}]}))
        self.log = open(tmp / "prometheus.log", "wb")
        self.p = subprocess.Popen([PROMETHEUS, f"--config.file={tmp / 'prometheus.yml'}", f"--storage.tsdb.path={tmp / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}"],
                                  stdout=self.log, stderr=self.log)

    def ask(self, path, **params):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(params)}"
        return json.loads(urllib.request.urlopen(url, timeout=10).read())["data"]

    def query(self, expr):
        return self.ask("/api/v1/query", query=expr)["result"]

    def await_(self, fn, what, timeout=30):
        end = time.monotonic() + timeout
        while True:
            try:
                got = fn()
                if got:
                    return got
            except OSError:
                pass
            assert time.monotonic() < end and self.p.poll() is None, f"waited for {what}"
            time.sleep(0.2)

    def firing(self):
        return {a["labels"]["alertname"] for a in self.ask("/api/v1/alerts")["alerts"] if a["state"] == "firing"}

    def close(self):
        self.p.terminate()
        self.p.wait(timeout=30)
        self.log.close()


def parse(text):
    sys.path.insert(0, str(CACHE / "openapi"))
    from prometheus_client.openmetrics import parser

    return {f.name: f for f in parser.text_string_to_metric_families(text)}


def check_page(text, truth):
    families = parse(text)
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}
    sums = {}
    for k, v in truth_sums(truth).items():
        if k[0] == "model":
            for f in FIELDS:
                sums.setdefault(k[1], {}).setdefault(f, 0)
                sums[k[1]][f] += v[f]
    top = sorted(sums, key=lambda t: (-sums[t]["all.high"], t))[:TOP]
    named = {s.labels["tenant"] for s in families["opmeter_tenant_operations"].samples}
    assert named == set(top), (named, top)
    for name, tenants in (("opmeter_tenant_operations", [[t] for t in top]), ("opmeter_tenants_rest_operations", [[t for t in sums if t not in top]])):
        for group in tenants:
            for work in ("training", "all"):
                for bound in ("low", "high"):
                    exact = sum(sums[t][f"{work}.{bound}"] for t in group)
                    labels = {"work": work, "bound": bound} | ({"tenant": group[0]} if name == "opmeter_tenant_operations" else {})
                    got = samples[(name, tuple(sorted(labels.items())))]
                    assert int(got) <= exact if bound == "low" else int(got) >= exact, (labels, got, exact)
                    assert abs(int(got) - exact) <= exact * 2**-52, (labels, got, exact)
    assert samples[("opmeter_tenants", ())] == len(sums) and samples[("opmeter_tenants_rest", ())] == len(sums) - TOP
    assert samples[("opmeter_samples_left_out", ())] == 0
    return families, len(samples)


def main():
    if not PROMETHEUS.exists() or not (CACHE / "openapi/.complete").exists():
        skip("no Prometheus: run `tools/deps check`")
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-prometheus-") as tmp:
        tmp = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        make_ca(tmp)
        token = make_token(tmp / "tokens", "prometheus", "metrics")
        subprocess.run([FLEETSIM, "--dry", "--truth", tmp / "truth.json", *SIM], check=True)
        threshold = choose_threshold(json.loads((tmp / "truth.json").read_text()))
        fleet = Fleet(broker, "fleet-p", [Regime("demo-1", threshold)], tmp)
        api = prometheus = None
        try:
            fleet.start("--interval", "300ms")
            subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / "truth.json", *SIM], check=True)
            truth = json.loads((tmp / "truth.json").read_text())
            api = Api(tmp, broker.brokers, fleet.name, fleet.regimes, tmp / "tokens", tmp, ["--metrics-tenants", str(TOP)])
            api.await_ready()
            prometheus = Prometheus(tmp, api, token)
            prometheus.await_(lambda: prometheus.query("opmeter_fleet_ready == 1"), "the first scrape")
            prometheus.await_(lambda: prometheus.query("opmeter_fleet_group_known == 1 and opmeter_fleet_judge == 1"), "the judge to be seen")
            want = sum(v["registers"] for k, v in truth_sums(truth).items() if k[0] == "model")
            prometheus.await_(lambda: prometheus.query(f"opmeter_fleet_registers == {want}"), "all registers")
            status, headers, body = api.ask("/metrics", token)
            assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text"), headers["Content-Type"]
            families, count = check_page(body.decode(), truth)
            used = metrics_of_rules()
            assert len(used) > 8, used
            missing = [m for m in used if not prometheus.query(m)]
            assert not missing, f"rules name what no server exports: {missing}"
            assert prometheus.query("opmeter_fleet_partitions") and float(prometheus.query("opmeter_fleet_partitions")[0]["value"][1]) == 4
            met = any(int(s["training"]["low"]) >= threshold for s in truth["totals"] + truth["lineages"])
            prometheus.await_(lambda: "OpmeterNearThreshold" in prometheus.firing(), "the rule of a near threshold")
            assert ("OpmeterThresholdReached" in prometheus.firing()) == met
            # Before the first scrape both are so; what fired then ends with the next look at the rules.
            prometheus.await_(lambda: not {"OpmeterNoJudge", "OpmeterApiDown"} & set(prometheus.firing()), "the rules to see judge and API")
            for p in list(fleet.procs):
                assert fleet.stop(p) == 0
            prometheus.await_(lambda: "OpmeterNoJudge" in prometheus.firing(), "the rule of a missing judge")
            assert api.close() == 0
            prometheus.await_(lambda: "OpmeterApiDown" in prometheus.firing(), "the rule of an API that is down")
            print(f"{len(families)} families, {count} samples; rules name {len(used)} of them")
        except BaseException:
            print(fleet.logs(), *([api.log.read_text()[-2000:]] if api else []), (tmp / "prometheus.log").read_text()[-1500:] if prometheus else "", sep="\n", file=sys.stderr)
            raise
        finally:
            if prometheus:
                prometheus.close()
            if api:
                api.close()
            fleet.close()


main()
