#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every recorded truth lies in its interval, and the program says so only if it is so: with a formula that is too small, or
# kernels that compute passed off as none, it fails.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$B/tests/accuracy/accuracy" >"$dir/table" 2>"$dir/samplings" || { cat "$dir/table"; exit 1; }
rows=$(grep -c '| yes |$' "$dir/table")
[ "$rows" -ge 50 ] || { echo "only $rows rows"; exit 1; }
grep '^Samplings' "$dir/table"
[ "$(grep -c '([a-z-]*) [0-9.]* %' "$dir/table")" -ge 10 ] || { echo "the kernels that only time bounds are not listed"; exit 1; }
# The header, a lie, and the rest: convolutions as if they were copies.
{ grep '^pattern,' data/kernels.csv; echo 'flash_fwd_kernel,elementwise,unknown,zero,a lie'; grep -v '^pattern,' data/kernels.csv; } >"$dir/lie.csv"
if "$B/tests/accuracy/accuracy" "$dir/lie.csv" >"$dir/lied" 2>&1; then echo "a lie in the catalogue passed"; exit 1; fi
grep -q '| NO |$' "$dir/lied"
# The table in the documentation is the one that this program prints.
diff <(grep '^|' docs/accuracy.md) <(grep '^|' "$dir/table") || { echo "docs/accuracy.md: not what \`make accuracy\` prints"; exit 1; }
