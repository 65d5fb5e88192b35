#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logging in to a real broker: mutual TLS and SASL_SSL with SCRAM, what ACLs refuse and what they must allow, and one clear
line where the librdkafka at hand cannot log in. Also: a topic with a wrong cleanup policy."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *
from kafka_admin import allow, revoke, set_topic
from api import Api, make_token

SIM = ["--seed", "9", "--nodes", "6", "--jobs", "12", "--days", "1"]
RELEASE = BUILD / "release/opmeter"
RIGHTS = [f"topic:{o}:opmeter.*" for o in ("read", "write", "describe", "describe-configs")] + [
    "group:read:opmeter-fleet-*", "transaction:write:opmeter-judge-*", "transaction:describe:opmeter-judge-*"]


NODE_WRITES = ("readings", "assignments", "alerts", "alerts.shadow", "checkpoints", "processes")
NODE_RIGHTS = [f"topic:{o}:opmeter.{t}.v1" for t in NODE_WRITES for o in ("write", "describe")] + [
    "topic:read:opmeter.alerts.v1", "topic:read:opmeter.alerts.shadow.v1", "group:read:opmeter-published", "topic:read:opmeter.near.v1",
    "topic:describe:opmeter.near.v1"]


def run(*args, program=OPMETER):
    p = subprocess.run([str(a) for a in (program, *args)], capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout + p.stderr


def expect(got, code, *words):
    rc, text = got
    assert rc == code, f"exit code {rc}, expected {code}: {text}"
    for w in words:
        assert w in text, f"'{w}' is not in: {text}"
    return text


def config(broker, name, lines):
    path = broker.dir / f"{name}.properties"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def fleet(broker, port, path, program=OPMETER, name="login"):
    return run("fleet", "--brokers", f"127.0.0.1:{port}", "--kafka-config", path, "--name", name, "--regimes", "tests/demo/regimes",
               "--once", "--json", program=program)


def check_mutual_tls(broker, port, tls):
    files = [f"ssl.ca.location={tls}/ca.pem", f"ssl.certificate.location={tls}/client.pem", f"ssl.key.location={tls}/client.key"]
    cert = config(broker, "mtls", ["security.protocol=SSL", *files])
    expect(run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", cert), 4, "ACL")
    expect(fleet(broker, port, cert), 4, "opmeter.readings.v1", "ACL")
    check_node_rights(broker, port, cert)
    # Topics without the group: the fleet cannot share them, and says so.
    allow(broker.brokers, "User:opmeter-node-1", *RIGHTS[:4])
    expect(fleet(broker, port, cert), 4, "ACL")
    allow(broker.brokers, "User:opmeter-node-1", *RIGHTS[4:])
    expect(run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", cert, "--replication", "1"), 0)
    # Without the settings nobody knows that the topics are as they should be: it goes on, and says so.
    revoke(broker.brokers, "User:opmeter-node-1", RIGHTS[3])
    expect(fleet(broker, port, cert), 0, "judges", "settings are not checked", "describe-configs")
    allow(broker.brokers, "User:opmeter-node-1", RIGHTS[3])
    expect(fleet(broker, port, cert), 0, "judges")
    # No certificate: the broker hangs up.
    none = config(broker, "none", ["security.protocol=SSL", files[0]])
    rc, text = run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", none)
    assert rc == 1, f"without a certificate: {rc}: {text}"
    return cert


def check_node_rights(broker, port, cert):
    """What docs/fleet.md gives a node is enough for all that it writes, and to know which of its alerts are there; cases are not for it."""
    allow(broker.brokers, "User:opmeter-node-1", *NODE_RIGHTS)
    beaten = run("--brokers", f"127.0.0.1:{port}", "--kafka-config", cert, "--nodes", "3", "--jobs", "3", "--beat", "1s", program=FLEETSIM)
    expect(beaten, 0)
    text = expect(run(f"127.0.0.1:{port}", cert, program=BUILD / "tests/tools/published"), 0, "cases refused", "right to read")
    assert int(text.split("alerts ")[1].split()[0]) >= 3, text
    expect(fleet(broker, port, cert), 4, "ACL")


def sums_equal(follower, want, what, timeout=120):
    end = time.monotonic() + timeout
    while (left := differences(want, follower.sums())):
        assert time.monotonic() < end, f"{what}: " + "\n".join(left[:8])
        time.sleep(0.2)


def metric(api, token, name):
    rows = [l for l in api.ask("/metrics", token)[2].decode().splitlines() if l.startswith(name + " ")]
    return float(rows[0].split()[1]) if rows else None


def check_running(broker, port, cert):
    """A fleet that runs: names of tenants are read anew, and rights that are taken away are named and counted, while no total moves."""
    tmp = broker.dir
    subprocess.run([FLEETSIM, "--reset", "--brokers", broker.brokers], check=True)
    expect(run("topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"), 0)
    run_sim = lambda name, *more: subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / name, *SIM, *more], check=True)
    run_sim("first.json")
    want = truth_sums(json.loads((tmp / "first.json").read_text()))
    names = sorted({k[1] for k in want if k[0] == "model"} - {"unknown"})
    (tmp / "tenants").write_text("\n".join(names[1:]) + "\n")
    follower = Follower(broker.brokers, "rights", 2)
    token = make_token(tmp / "tokens", "all", "all")
    (tmp / "rights").mkdir()
    f = Running(type("Login", (), {"brokers": f"127.0.0.1:{port}"}), tmp / "rights", "rights", "--kafka-config", cert, "--regimes", "tests/demo/regimes",
                "--tenants", tmp / "tenants", "--seal-after", "0")
    api = Api(tmp, broker.brokers, "rights", "tests/demo/regimes", tmp / "tokens")
    try:
        f.wait("totals", lambda: follower.refused().get("no-such-tenant", 0) and follower.sums())
        assert names[0] not in {k[1] for k in follower.sums() if k[0] == "model"}, "a tenant that does not exist has totals"
        (tmp / "tenants").write_text("\n".join(names) + "\n")
        f.p.send_signal(signal.SIGHUP)
        sums_equal(follower, want, "the tenants were read anew")
        api.await_ready()
        assert metric(api, token, "opmeter_fleet_refused_by_broker") == metric(api, token, "opmeter_fleet_settings_unchecked") == 0
        revoke(broker.brokers, "User:opmeter-node-1", RIGHTS[0])
        f.wait("the refusal is named", lambda: "the ACLs refuse it" in f.log.read_text())
        f.wait("it is counted", lambda: metric(api, token, "opmeter_fleet_refused_by_broker"))
        run_sim("second.json", "--seed", "10")
        assert not differences(want, follower.sums()), "a total moved by what may not be read"
        assert f.p.poll() is None
        allow(broker.brokers, "User:opmeter-node-1", RIGHTS[0])
        for at, s in truth_sums(json.loads((tmp / "second.json").read_text())).items():
            for field, v in s.items():
                known = want.setdefault(at, dict.fromkeys(s, 0))
                known[field] += v
        (tmp / "tenants").write_text("\n".join(sorted({k[1] for k in want if k[0] == "model"})) + "\n")
        f.p.send_signal(signal.SIGHUP)
        sums_equal(follower, want, "the right is back", 180)
        said = f.wait("the alert", lambda: follower.data_alerts("/opmeter/rights", "refused-by-broker"))
        subjects = {a["value"]["subject"] for a in said}
        assert len(subjects) == 1 and subjects.pop().startswith("instance/"), f"one instance of two partitions is said as {said}"
    finally:
        f.close()
        follower.close()
        assert api.close() == 0


def check_scram(broker, port, tls):
    lines = ["security.protocol=SASL_SSL", "sasl.mechanism=SCRAM-SHA-256", "sasl.username=opmeter", "sasl.password=opmeter-secret",
             f"ssl.ca.location={tls}/ca.pem"]
    scram = config(broker, "scram", lines)
    rc, text = run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", scram)
    if rc == 2:  # older than 2.6.1: one line, at once
        assert "SCRAM needs librdkafka 2.6.1" in text and len(text.splitlines()) == 1, text
        expect(fleet(broker, port, scram), 2, "SCRAM needs librdkafka 2.6.1")
    else:
        assert rc == 4, text
    if not RELEASE.exists():
        skip("mutual TLS and ACLs are as they should be; SCRAM is not tried, for the release is not built: run `make release`")
    expect(run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", scram, program=RELEASE), 4, "ACL")
    allow(broker.brokers, "User:opmeter", *RIGHTS)
    expect(fleet(broker, port, scram, RELEASE, "scram"), 0, "judges")
    wrong = config(broker, "wrong", [*lines[:3], "sasl.password=guess", lines[4]])
    rc, text = run("topics", "check", "--brokers", f"127.0.0.1:{port}", "--kafka-config", wrong, program=RELEASE)
    assert rc == 1 and "uthentication failed" in text, text
    return "SCRAM by librdkafka of the release build"


def check_policy(broker):
    """A readings topic that forgets what is old would make totals fall: none is made."""
    set_topic(broker.brokers, "opmeter.readings.v1", "cleanup.policy", "delete")
    text = expect(run("topics", "check", "--brokers", broker.brokers, "--replication", "1", "--json"), 3, "cleanup.policy is delete")
    findings = [json.loads(line) for line in text.splitlines()]
    assert any(f["fatal"] and f["topic"] == "opmeter.readings.v1" and "kafka-configs.sh" in f["what_to_do"] for f in findings), text
    expect(run("fleet", "--brokers", broker.brokers, "--name", "login", "--regimes", "tests/demo/regimes", "--once"), 3,
           "opmeter.readings.v1", "cleanup.policy")
    set_topic(broker.brokers, "opmeter.readings.v1", "cleanup.policy", "compact")


def main():
    class Secure(Broker):
        def up(self):
            self.act("up", "--port", str(self.port), "--heap", self.heap, "--timeout", "120", "--sasl")

    with Secure() as broker:
        expect(run("topics", "check", "--brokers", broker.brokers), 3, "is not there")
        expect(run("topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"), 0, "all as they should be")
        tls = broker.data / "tls"
        cert = check_mutual_tls(broker, broker.port + 3, tls)
        check_policy(broker)
        check_running(broker, broker.port + 3, cert)
        how = check_scram(broker, broker.port + 2, tls)
    print(f"mutual TLS, ACLs, {how}, a wrong cleanup policy, a right taken from a fleet that runs: each said by name")


main()
