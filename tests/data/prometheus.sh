#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The alert rules for Prometheus are rules, and promtool's own tests of them pass; every alert has a case in which it fires.
set -euo pipefail
promtool=${OPMETER_CACHE:-$HOME/.cache/opmeter}/prometheus/usr/bin/promtool
[ -x "$promtool" ] || { echo "no promtool: \`tools/deps check\` fetches it"; exit 77; }
rules=data/prometheus/opmeter.rules.yml tests=tests/prometheus/opmeter.test.yml
"$promtool" check rules --lint=all --lint-fatal "$rules"
"$promtool" test rules "$tests"
bad=0
while IFS= read -r alert; do
	python3 - "$alert" "$tests" <<'PY' || { echo "no test in which $alert fires"; bad=1; }
import re, sys
alert, path = sys.argv[1:]
sys.exit(not re.search(rf"alertname: {alert}\n\s+exp_alerts:\s*(\[\{{|\n\s+- )", open(path).read()))
PY
done < <(sed -nE 's/^ *- alert: (.*)/\1/p' "$rules")
# A rule that is turned round must be found.
broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
mkdir -p "$broken/data/prometheus" "$broken/tests/prometheus"
cp "$tests" "$broken/tests/prometheus/"
sed 's/opmeter_fleet_nodes_silent > 0/opmeter_fleet_nodes_silent < 0/' "$rules" >"$broken/$rules"
if "$promtool" test rules "$broken/$tests" >/dev/null 2>&1; then echo "the tests pass with a rule that is wrong"; bad=1; fi
exit $bad
