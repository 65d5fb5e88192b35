# SPDX-License-Identifier: Apache-2.0
"""The names of all tenants are read anew while a server of the API runs."""
import signal
import time
from pathlib import Path

from api import Api, make_token


def wait(api, what, predicate):
    end = time.monotonic() + 90
    while not predicate():
        assert time.monotonic() < end and api.p.poll() is None, f"{what}: {api.log.read_text()[-1500:]}"
        time.sleep(0.2)


def check(api, token, total, names, path):
    def days():
        status, got = api.get(f"/v1/models/{total['tenant']}/{total['model']}/series", token)
        assert status == 200, got
        return got["check"]["agrees"], got["days"], got["read"]["id"]

    others = "".join(n + "\n" for n in names if n != total["tenant"])
    agrees, whole, first = days()
    assert agrees == "equal" and whole, (agrees, whole)
    path.write_text(others)
    wait(api, "a tenant that is taken off still has days", lambda: days()[:2] == ("no", []))
    assert days()[2] != first, "two readings by other names have one id"
    path.unlink()
    api.p.send_signal(signal.SIGHUP)
    wait(api, "a file that is gone is not said", lambda: "the tenants stay as they were" in api.log.read_text())
    path.write_text(total["tenant"])
    wait(api, "part of a file is not said", lambda: "may be a part of it" in api.log.read_text())
    assert days()[:2] == ("no", [])
    path.write_text("".join(n + "\n" for n in names))
    wait(api, "a tenant that is there again has no days", lambda: days() == ("equal", whole, first))


def check_tenants_file(broker, name, regimes, tmp, rows):
    """`rows`: the totals that the aggregators of that name published. A tenant that is taken off has no days, one that is there has all of them. A file
    that is gone, or part of one, leaves the names as they were."""
    tmp = Path(tmp)
    total = next(r for r in rows if r["group"] == "model" and r["tenant"] != "unknown" and int(r["all"]["high"]))
    names = sorted({r["tenant"] for r in rows if r["group"] == "model"} - {"unknown"})
    path = tmp / "all-tenants"
    path.write_text("".join(n + "\n" for n in names))
    token = make_token(tmp / "tenants.tokens", "all", "all")
    api = Api(tmp, broker.brokers, name, regimes, tmp / "tenants.tokens", options=["--tenants", path])
    try:
        api.await_ready()
        check(api, token, total, names, path)
    finally:
        assert api.close() == 0, api.log.read_text()[-1500:]
