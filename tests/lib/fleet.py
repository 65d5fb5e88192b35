# SPDX-License-Identifier: Apache-2.0
"""What the fleet's tests share: the simulated fleet, instances of `opmeter fleet`, and a consumer of the totals and alerts
topics that adds up what it reads in Python's own integers. Everything started here is ended by close()."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
from opm import BUILD, CACHE, OPMETER, skip

FLEETSIM = str(BUILD / "tests/fleetsim/fleetsim")
TOTALS = "opmeter.totals.v1"
ALERTS = ("opmeter.alerts.v1", "opmeter.alerts.shadow.v1")
LEVELS = (("notice", 50, "high"), ("warn", 75, "high"), ("urgent", 90, "high"), ("exceeded", 100, "low"))
SOURCE = Path(__file__).resolve().parents[2]


def free_port(width=4):
    """The first of `width` ports in a row that nobody listens on."""
    for port in range(21000 + os.getpid() % 500 * 20, 32000, width):
        socks = []
        try:
            for i in range(width):
                s = socket.socket()
                socks.append(s)
                s.bind(("127.0.0.1", port + i))
            return port
        except OSError:
            continue
        finally:
            for s in socks:
                s.close()
    raise AssertionError("no free ports")


class Broker:
    """A one-node broker. `size_mib`: its data on a file system of that size (root only), which fill() fills."""

    def __init__(self, size_mib=0, heap="256m"):
        if not (CACHE / "kafka-4.1.0/.complete").exists():
            skip("no Kafka in the cache: run `make deps`")
        self.dir = Path(tempfile.mkdtemp(prefix="opmeter-fleet-"))
        self.data = self.dir / "kafka"
        self.data.mkdir()
        self.mounted = False
        self.heap = heap
        if size_mib:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "opmeter-test", self.data], check=True)
            self.mounted = True
        self.port = free_port()
        self.brokers = f"127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def act(self, verb, *args):
        subprocess.run([SOURCE / "tests/kafka/kafka-up", verb, "--data", self.data, *args], check=True, stdout=subprocess.DEVNULL)

    def up(self):
        self.act("up", "--port", str(self.port), "--heap", self.heap, "--timeout", "120")

    def kill(self):
        self.act("kill")

    def is_up(self):
        try:
            os.kill(int((self.data / "kafka.pid").read_text()), 0)
            return True
        except (OSError, ValueError):
            return False

    def fill(self):
        """Leaves no room for the broker's next byte."""
        with open(self.data / "ballast", "wb", buffering=0) as f:
            for block in (1 << 20, 4096):
                try:
                    while True:
                        f.write(bytes(block))
                except OSError:
                    pass

    def empty(self):
        (self.data / "ballast").unlink()

    def close(self):
        if (self.data / "kafka.pid").exists():
            self.act("kill")
        if self.mounted:
            subprocess.run(["umount", "-l", self.data], check=False)
        subprocess.run(["rm", "-rf", self.dir], check=False)


class Part:
    """One partition of the totals topic as docs/formats.md tells readers to read it: rounds that a head ends, under epochs."""

    def __init__(self):
        self.epoch, self.taken, self.pending, self.head = (0, ""), {}, {}, None

    def take(self, epoch, key, value):
        if epoch < self.epoch:
            return False  # of a writer that was replaced
        if key.split("/")[2:3] in (["days"], ["ask"]):
            return False  # daily series, which are none of the head's subjects
        if value is None or value.get("group") != "head":
            self.pending.setdefault(epoch, {})[key] = value
            return False
        before = (self.epoch, self.taken)
        if epoch > self.epoch:
            self.epoch, self.taken = epoch, {}
            self.pending = {e: r for e, r in self.pending.items() if e >= epoch}
        self.taken = {k: v for k, v in (self.taken | self.pending.pop(epoch, {})).items() if v is not None}
        self.head = value
        return before[1] != self.taken

    def is_whole(self):
        return self.head is not None and len(self.taken) == int(self.head["subjects"])


def epoch_of(headers):
    number, _, instance = headers.get("opmeter_epoch", "0.").partition(".")
    return (int(number), instance) if int(number) <= (time.time() + 86400) * 1000 else (0, "")


class Follower:
    """Reads the totals and alerts topics on and on, and adds over the partitions."""

    def __init__(self, brokers, fleet, partitions):
        self.fleet, self.parts = fleet, {n: Part() for n in range(partitions)}
        self.alerts, self.offsets = [], set()
        self.lock = threading.Lock()
        self.changed = time.monotonic()
        cmd = [BUILD / "tests/kafka/consume", "--brokers", brokers, "--follow", "--topic", TOTALS]
        for t in ALERTS:
            cmd += ["--topic", t]
        self.p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.p.stdout:
            if not line.endswith("\n"):
                return  # cut by close()
            r = json.loads(line)
            with self.lock:
                at = (r["topic"], r["partition"], r["offset"])
                if at in self.offsets:
                    continue
                self.offsets.add(at)
                if r["topic"] != TOTALS:
                    self.alerts.append(r)
                elif r["key"].split("/")[0] == self.fleet:
                    if self.parts[r["partition"]].take(epoch_of(r["headers"]), r["key"], r["value"]):
                        self.changed = time.monotonic()

    def sums(self):
        """{(group, name ...): {field: sum over the partitions}}; None while a partition is not whole."""
        out = {}
        with self.lock:
            if not all(p.is_whole() for p in self.parts.values()):
                return None
            for v in (v for p in self.parts.values() for v in p.taken.values()):
                at = ("lineage", v["lineage"]) if v["group"] == "lineage" else (v["group"], v["tenant"], v["model"])
                s = out.setdefault(at, {f: 0 for f in FIELDS} | {"registers": 0})
                for f in FIELDS:
                    part, bound = f.split(".")
                    s[f] += int(v[part][bound])
                s["registers"] += int(v["registers"])
        return {k: s for k, s in out.items() if any(s.values())}

    def refused(self):
        """Records that moved no total, by cause, over the partitions."""
        out = {}
        with self.lock:
            for p in self.parts.values():
                for cause, r in (p.head or {}).get("refused", {}).items():
                    out[cause] = out.get(cause, 0) + int(r["count"])
        return out

    def data_alerts(self, source, cause):
        with self.lock:
            return [r for r in self.alerts if isinstance(r["value"], dict) and r["value"].get("source") == source
                    and r["value"]["type"] == "opmeter.alert.data.v1" and r["value"]["data"]["cause"] == cause]

    def level_alerts(self, source):
        with self.lock:
            return [r for r in self.alerts if isinstance(r["value"], dict) and r["value"].get("source") == source
                    and r["value"]["type"] == "opmeter.alert.level.v1"]

    def close(self):
        self.p.kill()
        self.p.wait()
        self.thread.join()


FIELDS = tuple(f"{part}.{bound}" for part in ("all", "training") for bound in ("low", "high", "ceiling"))


def truth_sums(truth):
    out = {}
    for s in truth["totals"]:
        if s["registers"]:
            out[("model", s["tenant"], s["model"])] = {f: int(s[f.split(".")[0]][f.split(".")[1]]) for f in FIELDS} | {
                "registers": s["registers"]}
    for s in truth["lineages"]:
        t = out.setdefault(("lineage", s["lineage"]), {f: 0 for f in FIELDS} | {"registers": 0})
        for f in FIELDS:
            t[f] += int(s[f.split(".")[0]][f.split(".")[1]])
        t["registers"] += s["registers"]
    return out


def differences(want, got):
    """What differs, one line each."""
    if got is None:
        return ["the totals are not whole"]
    lines = []
    for k in sorted(want.keys() | got.keys()):
        w, g = want.get(k), got.get(k)
        if w != g:
            lines.append(f"{'/'.join(k)}: " + ("is not expected" if w is None else "is missing" if g is None else ", ".join(
                f"{f} {g[f]}, should be {w[f]} ({g[f] - w[f]:+})" for f in w if w[f] != g[f])))
    return lines


class Regime:
    def __init__(self, name, threshold, mode="enforce", version="1"):
        self.name, self.threshold, self.mode, self.version = name, threshold, mode, version

    def write(self, directory):
        (Path(directory) / f"{self.name}.yaml").write_text(
            "# SPDX-License-Identifier: Apache-2.0\n"
            f'id: {self.name}\nversion: "{self.version}"\ntitle: "DEMO threshold of the tests"\nkind: threshold\n'
            'citation: "none: a test"\nevidence: design\nsources: ["this test"]\n'
            f"mode: {self.mode}\ndemo: true\n"
            f'threshold: {{operations: {self.threshold}, comparator: ">=", figure: training}}\nlevels:\n' + "".join(
                f"  - {{name: {n}, share: {share}%, bound: {'upper' if bound == 'high' else 'lower'}}}\n" for n, share, bound in LEVELS))

    def levels_met(self, low, high):
        return [n for n, share, bound in LEVELS if 100 * (high if bound == "high" else low) >= share * self.threshold]


def alert_id(source, regime, version, subject, level):
    parts = ("opmeter-alert-v1", "opmeter.alert.level.v1", source, regime, version, subject, level)
    return hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).hexdigest()[:32]


def expected_alerts(truth, regimes, source, figure="training"):
    """{id: what it says} of every (tenant, model), computed from the truth. `figure` "most": also what may be raised for a
    moment, while phases, names and meters of work that is counted already are still on their way."""
    out = {}
    for s in truth["totals"]:
        for g in regimes:
            subject = f"{s['tenant']}/{s['model']}"
            for level in g.levels_met(int(s[figure]["low"]), int(s[figure]["high"])):
                out[alert_id(source, g.name, g.version, subject, level)] = f"{g.name} {subject} {level}"
    return out


def expected_lineages(truth, regimes, source):
    """The same of lineages: what all tenants train of one together."""
    out = {}
    for name in sorted({s["lineage"] for s in truth["lineages"]}):
        low, high = (sum(int(s["training"][b]) for s in truth["lineages"] if s["lineage"] == name) for b in ("low", "high"))
        for g in regimes:
            for level in g.levels_met(low, high):
                out[alert_id(source, g.name, g.version, f"lineage/{name}", level)] = f"{g.name} lineage/{name} {level}"
    return out


def choose_threshold(truth, wanted=4):
    """A threshold that some tenants cross, some reach in part and many do not, and that disorder blurs least."""
    highs = sorted((int(s["training"]["high"]) for s in truth["totals"]), reverse=True)
    rank = []
    for n in range(100):
        t = highs[0] * (100 - n) // 100 // 10**6 * 10**6
        if t > 0:
            met = len(expected_alerts(truth, [Regime("", t)], ""))
            rank.append((len(expected_alerts(truth, [Regime("", t)], "", "most")) - met, abs(met - wanted), t))
    return min(rank)[2]


class Running:
    """One instance with its own files, and the lines that it prints: alerts, and what became of those files."""

    def __init__(self, broker, d, name, *options):
        self.out, self.log = d / "fleet.out", d / "fleet.log"
        self.p = subprocess.Popen([str(a) for a in (OPMETER, "fleet", "--brokers", broker.brokers, "--name", name, *options, "--json", "--interval", "200ms")],
                                  stdout=open(self.out, "w"), stderr=open(self.log, "w"))

    def lines(self):
        text = self.out.read_text()
        return [json.loads(l) for l in text[:text.rfind("\n") + 1].splitlines()]

    def events(self, kind, subject=None):
        return [l for l in self.lines() if l.get("type") == f"opmeter.{kind}.v1" and subject in (None, l["subject"])]

    def wait(self, what, predicate, timeout=60):
        end = time.monotonic() + timeout
        while not (found := predicate()):
            assert self.p.poll() is None, f"the fleet ended: {self.log.read_text()[-800:]}"
            assert time.monotonic() < end, f"{what}: not within {timeout} s: {self.log.read_text()[-800:]}"
            time.sleep(0.1)
        return found

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()


class Fleet:
    """Instances of `opmeter fleet` at one broker."""

    def __init__(self, broker, name, regimes, directory, options=()):
        self.broker, self.name, self.dir = broker, name, Path(directory)
        self.source = f"/opmeter/{name}"
        self.options = list(options)
        self.regimes = self.dir / f"regimes-{name}"
        self.regimes.mkdir()
        (self.regimes / "country-sets.yaml").write_text((SOURCE / "data/regimes/country-sets.yaml").read_text())
        for g in regimes:
            g.write(self.regimes)
        self.procs = []
        self.started = 0
        self.ended = []  # exit codes of those that ended by themselves

    def start(self, *extra):
        path = self.dir / f"{self.name}-{self.started}.log"
        log = open(path, "ab")
        self.started += 1
        p = subprocess.Popen([str(a) for a in [OPMETER, "fleet", "--brokers", self.broker.brokers, "--name", self.name, "--regimes",
                                               self.regimes, *self.options, *extra]], stdout=log, stderr=log)
        log.close()
        p.log = path
        self.procs.append(p)
        return p

    def tend(self):
        """What a service manager does: an instance that ended by itself (no broker at its start) is started again."""
        for p in list(self.procs):
            if p.poll() is not None:
                self.procs.remove(p)
                self.ended.append(p.returncode)
                self.start()

    def stop(self, p, how=signal.SIGTERM, timeout=60):
        p.send_signal(how)
        rc = p.wait(timeout=timeout)
        self.procs.remove(p)
        return rc

    def logs(self, lines=12):
        return "\n".join(f"--- {f.name}\n" + "\n".join(f.read_text(errors="replace").splitlines()[-lines:])
                         for f in sorted(self.dir.glob(f"{self.name}-*.log")))

    def close(self):
        for p in self.procs:
            p.send_signal(signal.SIGCONT)
            p.kill()
            p.wait()
        self.procs = []


def wait_for_truth(follower, fleet, truth, timeout, still=1.0):
    """Until the totals are the truth and stay so for `still` seconds. Returns the differences at the end of its patience."""
    want, end = truth_sums(truth), time.monotonic() + timeout
    while True:
        left = differences(want, follower.sums())
        if not left and time.monotonic() - follower.changed >= still:
            return []
        if time.monotonic() > end:
            return left or ["the totals are right but do not rest"]
        fleet.tend()
        time.sleep(0.1)


def check_alerts(follower, source, expected, allowed, repeats=False):
    """Differences of the level alerts of (tenant, model) subjects from what is expected, each exactly once. `repeats`: a zombie
    may have said one again, under the same id."""
    seen = {}
    for r in follower.level_alerts(source):
        if r["key"] != r["value"]["id"]:
            return [f"an alert's key is {r['key']} and its id {r['value']['id']}"]
        subject = r["value"]["subject"]
        seen.setdefault(r["key"], []).append(f"{r['value']['data']['regime']} {subject} {r['value']['data']['level']}")
    lines = [f"missing: {expected[i]}" for i in expected if i not in seen]
    lines += [f"not expected: {what[0]}" for i, what in seen.items() if i not in allowed and is_of_model(what[0])]
    lines += [f"{len(what)} times: {what[0]}" for what in seen.values() if len(what) > 1 and not repeats]
    return lines


def is_of_model(what):
    """Families and lineages have subjects of their own."""
    return not any(mark in what for mark in ("family", "lineage"))
