#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a ledger to dates: a recorded training run of today, against the law's threshold and a small one.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
mkdir "$dir/regimes"
cp tests/demo/regimes/country-sets.yaml "$dir/regimes/"
sed 's/operations: 1e16/operations: 1e15/' tests/demo/regimes/demo-threshold.yaml >"$dir/regimes/small.yaml"
grep -q 'operations: 1e15' "$dir/regimes/small.yaml" || fail "the demo's threshold has moved"
"$B/opmeter" replay --ledger "$dir/ledger" --tenants tests/demo/tenants.yaml --cgroup /kubepods.slice/kubepods-pod6f0c2f3e_7a55_4c8e_9d0e_0a1b2c3d4e5f.slice/run.scope \
	tests/data/runs/h100_gpt124m_train_fp8_r0.run.gz >/dev/null
"$B/opmeter" forecast --dir "$dir/ledger" --regimes "$dir/regimes" --json >"$dir/json" || fail "forecast exits $?"
python3 - "$dir/json" <<'EOF'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert len(rows) == 1, rows
r = rows[0]
low, high = (int(r["observed"][k]) for k in ("low", "high"))
assert low <= high and high > 10**13, r
assert r["threshold"] == str(10**15) and r["days"] == 1, r
assert int(r["operations_per_day"]["fast"]) == 3 * high, r   # the first day, times the factor of the first weeks
assert r["state"] == "will-be-met" and r["notice_due"] is True, r
assert r["earliest"] and (not r["likely"] or r["earliest"] <= r["likely"]), r
EOF
"$B/opmeter" forecast --dir "$dir/ledger" --regimes "$dir/regimes" | grep -q 'notice due' || fail "the table does not say that a notice is due"
# The law's own threshold is far away.
"$B/opmeter" forecast --dir "$dir/ledger" --regimes data/regimes --json | grep '"us-bis-4e091"' | grep -q '"state":"far"' || fail "no forecast of 4E091"
if "$B/opmeter" forecast --dir "$dir/ledger" --regimes data/regimes --json | grep '"us-bis-4e091"' | grep -q '"notice_due":true'; then
	fail "a notice of 4E091 for a run of a few seconds"
fi
rc=0
"$B/opmeter" forecast --dir "$dir/nowhere" --regimes data/regimes 2>"$dir/err" || rc=$?
[ "$rc" = 1 ] || fail "a ledger that is not there: exit $rc, not 1"
grep -q nowhere "$dir/err" || fail "a ledger that is not there is not named: $(cat "$dir/err")"
