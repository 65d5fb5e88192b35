#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the HTTP API costs and gives with about TOTALS totals (10,000): start until ready, memory, processor time when nobody asks, and
requests over TLS on connections that stay open, each as a ratio to /livez, which answers a constant."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import *
from fleet import *

TOTALS = int(os.environ.get("TOTALS", "10000"))
SECONDS = float(os.environ.get("SECONDS_EACH", "5"))
CONNECTIONS = 8
SIM = ["--seed", "3", "--tenants", str(TOTALS), "--jobs", str(TOTALS * 12 // 10), "--nodes", str(TOTALS * 3 // 10), "--days", "1", "--tick", "12h", "--formats", "1"]


def status_of(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(name)


def cpu_s(pid):
    f = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def ready_s(api):
    api.await_ready(300)
    time.sleep(0.3)
    line = next(line for line in api.log.read_text().splitlines() if "ready" in line)
    return float(line.split("ready ")[1].split()[0]), int(line.split(", ")[1].split()[0])


def load(api, token, target):
    out = subprocess.run([BUILD / "tests/bench/api_load", api.url + target, token, api.tls / "ca.pem", str(CONNECTIONS), str(SECONDS)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def main():
    with Broker(heap="384m") as broker, tempfile.TemporaryDirectory(prefix="opmeter-bench-api-") as tmp:
        tmp = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        make_ca(tmp)
        token = make_token(tmp / "tokens", "bench", "all")
        fleet = Fleet(broker, "bench", [Regime("demo-1", 10**30)], tmp)
        api = None
        try:
            aggregator = fleet.start()
            subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / "truth.json", *SIM], check=True)
            want = sum(1 for s in json.loads((tmp / "truth.json").read_text())["totals"] if s["registers"])
            end = time.monotonic() + 300
            starts = []
            while True:  # the aggregator is through when a fresh server has as many totals
                api = Api(tmp, broker.brokers, "bench", fleet.regimes, tmp / "tokens", tmp)
                starts.append(ready_s(api))
                page = api.get("/v1/totals", token, limit=10000)[1]
                n = len(page["totals"]) + (len(api.pages("/v1/totals", token, "totals", limit=10000)[0]) - len(page["totals"]) if page["next"] else 0)
                if n == want:
                    break
                api.close()
                assert time.monotonic() < end, (n, want)
                time.sleep(2)
            fleet.stop(aggregator)
            api.close()
            starts = []
            for _ in range(3):
                api = Api(tmp, broker.brokers, "bench", fleet.regimes, tmp / "tokens", tmp)
                starts.append(ready_s(api))
                if len(starts) < 3:
                    api.close()
            time.sleep(2)
            before, began = cpu_s(api.p.pid), time.monotonic()
            time.sleep(10)
            idle = (cpu_s(api.p.pid) - before) / (time.monotonic() - began)
            rss = status_of(api.p.pid, "VmRSS")
            one = api.get("/v1/totals", token, limit=1)[1]["totals"][0]
            rows = [(name, load(api, token, target)) for name, target in (
                ("`/livez`", "/livez"), ("one total", f"/v1/models/{one['tenant']}/{one['model']}"), ("a page of 100", "/v1/totals?limit=100"),
                ("the largest 50", "/v1/totals?largest=50"), ("`/metrics`", "/metrics"), ("a page of 10,000", "/v1/totals?limit=10000"))]
            begin = time.monotonic()
            check = api.get(f"/v1/models/{one['tenant']}/{one['model']}/series", token)[1]
            days_s = time.monotonic() - begin
            begin = time.monotonic()
            forecasts, _ = api.pages("/v1/forecasts", token, "forecasts", limit=10000)
            all_s = time.monotonic() - begin
            print(f"{n} totals in 24 partitions, {json.loads((tmp / 'truth.json').read_text())['registers']} registers; {CONNECTIONS} connections, TLS, client and broker on the same {os.cpu_count()} CPUs\n")
            print(f"start until ready: {', '.join(f'{s:.2f} s' for s, _ in starts)} ({starts[-1][1]} records); memory {rss / 1024:.0f} MiB, "
                  f"{status_of(api.p.pid, 'VmHWM') / 1024:.0f} MiB at most under load; nobody asks: {100 * idle:.2f} % of a CPU")
            print(f"days of one model: {days_s:.2f} s ({check['check']['agrees']}, {check['read']['records']} records read); forecasts of all {len(forecasts)}: {all_s:.2f} s\n")
            print("| request | a second | of `/livez` | p50, ms | p99, ms | bytes |\n|---|---|---|---|---|---|")
            for name, r in rows:
                assert r["failed"] == 0, (name, r)
                print(f"| {name} | {r['per_second']:.0f} | {r['per_second'] / rows[0][1]['per_second']:.3f} | {r['p50_ms']:.2f} | {r['p99_ms']:.2f} | {r['bytes']:.0f} |")
        except BaseException:
            print(fleet.logs(), api.log.read_text()[-2000:] if api else "", sep="\n", file=sys.stderr)
            raise
        finally:
            if api:
                api.close()
            fleet.close()


main()
