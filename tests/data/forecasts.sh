#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Forecasts back-tested: first notices in time, and docs/forecast.md says what is printed.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$B/tests/forecast/backtest" >"$dir/table" || { cat "$dir/table"; echo "first notices came too late"; exit 1; }
[ "$(grep -c '^| ' "$dir/table")" -ge 3 ] || { cat "$dir/table"; exit 1; }
diff <(grep '^|' docs/forecast.md) "$dir/table" || { echo "docs/forecast.md: not what \`make forecasts\` prints"; exit 1; }
