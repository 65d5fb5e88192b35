# SPDX-License-Identifier: Apache-2.0
"""One seeded fault run of the fleet: a plan made from the seed, a simulated fleet that publishes, instances that are killed,
frozen, replaced, a broker that dies or whose disk is full; then the totals must be the simulator's own to the last operation,
and every expected alert must be there once. A plan prints as one line, and `--seed N` runs it again."""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
from fleet import *

SIM_FAULTS = ("duplicate", "shuffle", "replay", "regress", "restore", "clock", "torn", "late", "move", "hold", "die", "forge")
KINDS = ("kill", "freeze", "broker", "rebalance", "full")
SESSION_MS = 6000  # after which the group takes a member for dead (userspace/fleet/intake.c)
PATIENCE_S = int(os.environ.get("FLEET_PATIENCE", "90"))
PUBLISH_S = 4.0  # how long the simulated fleet publishes


def make_plan(seed, may_fill):
    """Every kind in turn comes first, others join it; half of what can go wrong in the fleet itself does."""
    r = random.Random(seed)
    kinds = [KINDS[seed % len(KINDS)]] + [k for k in ("kill", "rebalance") if r.random() < 0.4]
    if not may_fill:
        kinds = ["broker" if k == "full" else k for k in kinds]
    events = sorted((round(r.uniform(0.3, PUBLISH_S - 0.5), 2), k) for k in kinds)
    return {"seed": seed, "sim": {"seed": seed, "nodes": r.randint(16, 48), "jobs": r.randint(20, 60), "days": r.randint(2, 4),
                                  "tick": r.choice(["1h", "2h"]), "giant": r.choice([0, 0, 40]), "age": r.choice([2, 3, 12]),
                                  "faults": ",".join(f for f in SIM_FAULTS if r.random() < 0.5) or "duplicate"},
            "instances": r.randint(1, 3), "partitions": r.choice([1, 3, 4]), "seal": r.choice(["48h", "48h", "1h", "0"]), "events": events, "replace": r.random() < 0.3}


def sim_command(plan, *extra):
    args = [FLEETSIM, *map(str, extra)]
    for k, v in plan["sim"].items():
        args += [f"--{k}", str(v)]
    # Samples go with the time they are read over, so a node whose clock steps back may keep older ones.
    if plan["seed"] % 4 == 1 and "clock" not in plan["sim"]["faults"].split(","):
        args.append("--more-meters")
    return args


class Run:
    def __init__(self, broker, plan, directory):
        self.broker, self.plan, self.dir = broker, plan, Path(directory)
        self.rng = random.Random(plan["seed"] + 1)
        self.trouble = []
        self.threads = []
        self.name = f"fleet-{plan['seed']}"
        self.zombie = False

    def opmeter(self, *args):
        subprocess.run([OPMETER, *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prepare(self):
        dry = subprocess.run(sim_command(self.plan, "--dry"), check=True, capture_output=True, text=True)
        self.expected_truth = json.loads(dry.stdout)
        self.regimes = [Regime("test-a", choose_threshold(self.expected_truth)),
                        Regime("test-b", choose_threshold(self.expected_truth, 12), mode="shadow")]
        subprocess.run([FLEETSIM, "--reset", "--brokers", self.broker.brokers], check=True)
        self.opmeter("topics", "create", "--brokers", self.broker.brokers, "--partitions", self.plan["partitions"],
                     "--replication", 1)
        self.fleet = Fleet(self.broker, self.name, self.regimes, self.dir, ["--interval", "250ms", "--seal-after", self.plan["seal"]])
        self.follower = Follower(self.broker.brokers, self.name, self.plan["partitions"])

    def later(self, delay, fn, *args):
        """Something that ends by itself while the run goes on."""
        def act():
            time.sleep(delay)
            fn(*args)
        t = threading.Thread(target=act)
        t.start()
        self.threads.append(t)

    def victim(self):
        return self.rng.choice(self.fleet.procs) if self.fleet.procs else None

    def kill(self):
        p = self.victim()
        if p:
            self.fleet.stop(p, signal.SIGKILL)
        self.fleet.start()

    def freeze(self):
        p = self.victim()
        if not p:
            return
        self.zombie = True
        p.send_signal(signal.SIGSTOP)
        if len(self.fleet.procs) == 1:
            self.fleet.start()
        self.later(SESSION_MS / 1000 + 2.5, p.send_signal, signal.SIGCONT)

    def rebalance(self):
        """One more comes, one leaves."""
        self.fleet.start()
        time.sleep(0.5)
        p = self.victim()
        if p and len(self.fleet.procs) > 1:
            p.send_signal(signal.SIGTERM)
            self.fleet.procs.remove(p)
            self.later(0, self.end, p)

    def end(self, p):
        try:
            p.wait(timeout=30)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            self.trouble.append("an instance did not end within 30 s of SIGTERM")

    def kill_broker(self):
        self.broker.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.broker.up()

    def full(self):
        self.broker.fill()
        end = time.monotonic() + 5
        while self.broker.is_up() and time.monotonic() < end:
            time.sleep(0.1)
        self.broker.empty()
        if self.broker.is_up():
            self.broker.kill()  # what it could not write it must not claim to have
        self.broker.up()

    def act(self, kind):
        {"kill": self.kill, "freeze": self.freeze, "rebalance": self.rebalance, "broker": self.kill_broker, "full": self.full}[kind]()

    def publish(self):
        e = self.expected_truth
        rate = int((e["readings"] + e["assignments"]) / PUBLISH_S) + 1
        return subprocess.Popen(sim_command(self.plan, "--brokers", self.broker.brokers, "--rate", rate, "--truth", self.dir / "truth.json"))

    def compare(self, when):
        left = wait_for_truth(self.follower, self.fleet, self.truth, PATIENCE_S)
        self.trouble += [f"{when}: {line}" for line in left[:12]]
        self.trouble += [f"{when}: and {len(left) - 12} more"] if len(left) > 12 else []

    def go(self):
        for _ in range(self.plan["instances"]):
            self.fleet.start()
        begin = time.monotonic()
        sim = self.publish()
        try:
            for at, kind in self.plan["events"]:
                time.sleep(max(0, begin + at - time.monotonic()))
                self.fleet.tend()
                self.act(kind)
            if sim.wait(timeout=PATIENCE_S + 60):
                self.trouble.append(f"the simulated fleet ended with {sim.returncode}")
                return
        finally:
            if sim.poll() is None:
                sim.kill()
                sim.wait()
        for t in self.threads:
            t.join()
        self.truth = json.loads((self.dir / "truth.json").read_text())
        if self.truth["totals"] != self.expected_truth["totals"]:
            self.trouble.append("the simulator's truth is another with a broker than without")
        self.compare("after the faults")
        if self.plan["replace"] and not self.trouble:
            for p in list(self.fleet.procs):
                self.fleet.stop(p, signal.SIGKILL)
            self.fleet.start()
            self.follower.changed = time.monotonic()
            self.compare("read anew by one instance")
        expected = expected_alerts(self.truth, self.regimes, self.fleet.source)
        allowed = expected_alerts(self.truth, self.regimes, self.fleet.source, "most")
        self.alerts = len(expected)
        self.trouble += self.wait_alerts(expected, allowed)
        self.trouble += self.check_regressions()

    def check_regressions(self):
        """Where records keep their order and no register is folded away, an old image that is sent is a step back that is said."""
        faults = self.plan["sim"]["faults"].split(",")
        said = self.follower.data_alerts(self.fleet.source, "regression")
        if "regress" in faults and self.truth["regressed"] and "shuffle" not in faults and self.plan["seal"] == "0" and not said:
            return [f"{self.truth['regressed']} readings went back and no alert says so"]
        if "shuffle" not in faults and not self.truth["regressed"] and not any(k in ("broker", "full") for _, k in self.plan["events"]) and said:
            return ["an alert says that readings went back, and none did"]
        return []

    def wait_alerts(self, expected, allowed):
        end = time.monotonic() + 20
        while True:
            self.fleet.tend()
            left = check_alerts(self.follower, self.fleet.source, expected, allowed, self.zombie)
            if not any(x.startswith("missing") for x in left) or time.monotonic() > end:
                return left
            time.sleep(0.2)

    def close(self):
        for t in self.threads:
            t.join()
        if hasattr(self, "fleet"):
            self.fleet.close()
        if hasattr(self, "follower"):
            self.follower.close()


def one(broker, seed, may_fill):
    """Returns a line that says how it went; raises if it went wrong."""
    plan = make_plan(seed, may_fill)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="opmeter-fault-") as directory:
        run = Run(broker, plan, directory)
        try:
            run.prepare()
            run.go()
        except BaseException:
            print(f"seed {seed}: {json.dumps(plan)}", flush=True)
            if hasattr(run, "fleet"):
                print(run.fleet.logs(), flush=True)
            raise
        finally:
            run.close()
        if run.trouble:
            print(f"seed {seed}: {json.dumps(plan)}\n" + "\n".join(run.trouble) + "\n" + run.fleet.logs(), flush=True)
            raise AssertionError(f"seed {seed}: {run.trouble[0]}")
        t = run.truth
        kinds = ",".join(k for _, k in plan["events"])
        return (f"seed {seed}: {t['registers']} registers, {t['readings']} readings, {sum(t['forged'].values())} forged, "
                f"{len(t['totals'])} totals exact, {run.alerts} alerts; {kinds}; {plan['sim']['faults']}; {len(run.fleet.ended)} restarts; {time.monotonic() - begin:.1f} s")


def main(first, count):
    """Runs `count` seeds, one after the other, at one broker."""
    may_fill = os.geteuid() == 0
    if not may_fill:
        print("no root: a full disk is left out, the broker is killed instead")
    begin, done = time.monotonic(), 0
    with Broker(size_mib=384 if may_fill else 0) as broker:
        for seed in range(first, first + count):
            print(one(broker, seed, may_fill), flush=True)
            done += 1
    print(f"{done} runs in {time.monotonic() - begin:.0f} s: totals and alerts as they must be")
