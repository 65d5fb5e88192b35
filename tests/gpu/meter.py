# SPDX-License-Identifier: Apache-2.0
"""opmeter as a person would run it here, in a directory of the rig's own: started, switched, read; and cgroups, by which the
workloads' figures are told apart."""
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import host

READY_S, STOP_S = 90, 150  # detaching 200 probes has taken 23 s


class Cgroups:
    """Own cgroups below one of the rig's. Without a cgroup2 that can be written everything is one job: is_there is false, and
    readings are told apart by their growth."""

    def __init__(self, tag, root=None):
        self.tag, self.mounted = tag, None
        top = root or host.cgroup2() or self.mount()
        self.top = top / tag if top else None
        if self.top:
            self.top.mkdir(exist_ok=True)
        self.is_there = self.top is not None

    def mount(self):
        at = Path("/run") / f"{self.tag}-cgroup"
        at.mkdir(exist_ok=True)
        if host.run(["mount", "-t", "cgroup2", self.tag, at])[0] == 0 and os.access(at, os.W_OK):
            self.mounted = at
            return at
        at.rmdir()
        return None

    def put(self, pid, name):
        if not self.is_there:
            return
        d = self.top / name
        d.mkdir(exist_ok=True)
        (d / "cgroup.procs").write_text(str(pid))

    def close(self):
        if not self.is_there:
            return
        for _ in range(50):
            for d, _, _ in os.walk(self.top, topdown=False):
                try:
                    if (Path(d) / "cgroup.kill").exists():
                        (Path(d) / "cgroup.kill").write_text("1")
                    os.rmdir(d)
                except OSError:
                    pass
            if not self.top.exists():
                break
            time.sleep(0.1)
        if self.mounted:
            host.run(["umount", self.mounted])
            self.mounted.rmdir()


def tenants(path, tag, names):
    """Each workload is a tenant, so that `opmeter top` says its reconciled figure."""
    rules = "".join(f"  - match: {{path: \"**/{tag}/{n}.run\"}}\n    tenant: \"{n}\"\n    phase: training\n"
                    f"    declared: {{by: \"the rig\", date: {time.strftime('%Y-%m-%d')}}}\n" for n in names)
    path.write_text("rules:\n" + rules)


class Meter:
    """One agent and its ledger. Probes are attached before the workloads start, through the files' paths."""

    def __init__(self, work, name, libraries, tag, names, *, nvml=None, has_devices=True, collector=False):
        self.dir, self.tag = work / f"ledger-{name}", tag
        self.bpf = work / f"bpf-{name}"
        self.bpf.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "bpf", tag, self.bpf], check=True)
        self.pins = self.bpf / "o"
        tenants(work / "tenants.yaml", tag, names)
        args = [host.OPMETER, "standalone", "--dir", self.dir, "--pin-dir", self.pins, "--offsets", work / "offsets.csv",
                "--regimes", host.DATA / "regimes", "--tenants", work / "tenants.yaml", "--drain", "500ms", "--publish", "1s",
                "--budget", "0", "--detach"]
        args += ["--nvml", nvml] if nvml and has_devices else [] if has_devices else ["--no-devices"]
        for lib in libraries:
            args += ["--library", lib]
        self.log_path = work / f"{name}.log"
        self.log = open(self.log_path, "w")
        start = time.monotonic()
        self.p = subprocess.Popen([str(a) for a in args], stdout=self.log, stderr=self.log)
        while "ready pid=" not in self.said():
            if self.p.poll() is not None or time.monotonic() - start > READY_S:
                self.close()
                raise host.Failure(f"the meter did not start here: {host.last_line(self.said())}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - start

    def said(self):
        return host.read(self.log_path) or ""

    def pin_count(self):
        return sum(len(files) for _, _, files in os.walk(self.bpf))

    def switch(self, verb, meter):
        """Off or on; waits until the probes are gone, or back. Seconds."""
        start, before = time.monotonic(), self.pin_count()
        rc, out, err = host.run([host.OPMETER, verb, "--meter", meter, "--pin-dir", self.pins])
        if rc:
            raise host.Failure(f"opmeter {verb} --meter {meter}: {host.last_line(err)}")
        count, still = before, 0
        while meter != "device" and time.monotonic() - start < 60 and still < 12:
            time.sleep(0.1)
            count, was = self.pin_count(), count
            still = still + 1 if count == was else 0
        return {"verb": out.strip(), "pins_before": before, "pins_after": count, "seconds": time.monotonic() - start}

    def export(self, what):
        rc, out, err = host.run([host.OPMETER, "ledger", "export", f"--{what}", "--dir", self.dir])
        if rc:
            raise host.Failure(f"opmeter ledger export --{what}: {host.last_line(err)}")
        return [json.loads(line) for line in out.splitlines()]

    def snapshot(self):
        """Everything the ledger says now: readings, kernels, totals, and the paths of jobs."""
        rc, out, err = host.run([host.OPMETER, "top", "--once", "--json", "--dir", self.dir])
        if rc:
            raise host.Failure(f"opmeter top: {host.last_line(err)}")
        jobs = {e["payload"]["job"]: e["payload"].get("path") or "" for e in self.export("entries") if e["kind"] == "job"}
        return {"readings": self.export("readings"), "kernels": self.export("kernels"), "jobs": jobs,
                "totals": {t["tenant"]: t for t in json.loads(out)}}

    def stop(self):
        """The last drain and the detachment; how long the end took."""
        start = time.monotonic()
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
                raise host.Failure(f"the meter did not end in {STOP_S} s")
        if self.p.returncode:
            raise host.Failure(f"the meter ended with {self.p.returncode}: {host.last_line(self.said())}")
        return time.monotonic() - start

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.log.close()
        host.run(["umount", self.bpf])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def select(snapshot, tag, name):
    """The readings and kernels of one job: of the cgroup TAG/NAME.run."""
    jobs = {j for j, path in snapshot["jobs"].items() if path.endswith(f"/{tag}/{name}.run")}
    return ([r for r in snapshot["readings"] if r["job"] in jobs], [k for k in snapshot["kernels"] if k["job"] in jobs])


def growth(before, after):
    """Without cgroups: what all registers grew by. Only sums, since one job holds everything."""
    def key(r):
        return r["ledger"], r["job"], r["day"], r["format"], r["meter"]
    was, rows = {key(r): r for r in before["readings"]}, []
    for r in after["readings"]:
        old, row = was.get(key(r)), dict(r)
        for f in ("exact", "low", "high", "calls", "nested", "duplicates", "overflow_calls"):
            row[f] = str(int(r[f]) - int(old[f])) if old else r[f]
        for f in ("mean", "variance"):
            row[f] = float(r[f]) - float(old[f] if old else 0)
        row["lost"] = {k: str(int(v) - int((old or {"lost": {}})["lost"].get(k, 0))) for k, v in r["lost"].items()}
        rows.append(row)
    seen = {}
    for k in before["kernels"]:
        at = (k["job"], k["pid"], k["kernel"], str(k["grid"]), str(k["block"]), k["shared"], k["in_product"])
        seen[at] = seen.get(at, 0) + k["launches"]
    kernels = []
    for k in after["kernels"]:
        at = (k["job"], k["pid"], k["kernel"], str(k["grid"]), str(k["block"]), k["shared"], k["in_product"])
        if k["launches"] > seen.get(at, 0):
            kernels.append({**k, "launches": k["launches"] - seen.get(at, 0)})
    return rows, kernels


def total(rows, meter, field):
    return sum(int(r[field]) for r in rows if r["meter"] == meter)


def summary(rows, kernels):
    """What each meter says of one workload. Operations are decimal strings: a double does not hold them."""
    shape, mean = [r for r in rows if r["meter"] == "shape"], [r for r in rows if r["meter"] == "counter"]
    own = [k for k in kernels if not k["in_product"]]
    by_name = {}
    for k in own:
        by_name[k["kernel"] or "?"] = by_name.get(k["kernel"] or "?", 0) + k["launches"]
    lost = {}
    for r in rows:
        for cause, n in r["lost"].items():
            lost[f"{r['meter']}: {cause}"] = lost.get(f"{r['meter']}: {cause}", 0) + int(n)
    return {"shape": {"exact": str(total(rows, "shape", "exact")), "calls": total(rows, "shape", "calls"),
                      "nested": total(rows, "shape", "nested"), "duplicates": total(rows, "shape", "duplicates"),
                      "overflow": total(rows, "shape", "overflow_calls"),
                      "by_format": {f: str(sum(int(r["exact"]) for r in shape if r["format"] == f)) for f in {r["format"] for r in shape}}},
            "launch": {"low": str(total(rows, "launch", "low")), "high": str(total(rows, "launch", "high")),
                       "calls": total(rows, "launch", "calls"), "of_products": total(rows, "launch", "nested"),
                       "not_bounded": total(rows, "launch", "overflow_calls"),
                       "without_a_name": sum(k["launches"] for k in own if not k["kernel"])},
            "counter": {"mean": sum(float(r["mean"]) for r in mean), "variance": sum(float(r["variance"]) for r in mean),
                        "launches": total(rows, "counter", "calls"),
                        "by_format": {r["format"]: {"mean": float(r["mean"]), "launches": int(r["calls"])} for r in mean}},
            "device": {"low": str(total(rows, "device", "low")), "high": str(total(rows, "device", "high")),
                       "samples": total(rows, "device", "calls")},
            "allocation": {"high": str(total(rows, "allocation", "high"))},
            "lost": {k: v for k, v in lost.items() if v},
            "kernels": dict(sorted(by_name.items(), key=lambda x: -x[1])[:60])}


def clean(work, tag):
    """After a stage that was killed: whatever it left mounted, and its cgroups with the processes in them."""
    for line in reversed(list(open("/proc/self/mountinfo"))):
        at = line.split()[4]
        if at.startswith(str(work)):
            host.run(["umount", "-l", at])
    root = host.cgroup2() or Path("/run") / f"{tag}-cgroup"
    if (root / tag).exists():
        Cgroups(tag, root).close()
    at = Path("/run") / f"{tag}-cgroup"
    if at.exists():
        host.run(["umount", at])
        shutil.rmtree(at, ignore_errors=True)
