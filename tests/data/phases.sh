#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No recorded run is judged wrong, labels and names play no part, and the table in the documentation is the one that is printed.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$B/tests/phases/phases" tests/phases/runs tests/phases/held tests/data/runs >"$dir/table" || { cat "$dir/table"; exit 1; }
grep ' runs, ' "$dir/table"
diff <(grep -E '^\||[0-9] runs, |^Recomputed' docs/phases.md) <(grep -E '^\||[0-9] runs, |^Recomputed' "$dir/table") ||
	{ echo "docs/phases.md: not what 'make phases' prints"; exit 1; }
# A run that is judged right is no known error: the comparison can fail.
if "$B/tests/phases/phases" tests/phases/runs -- gpt2_bf16 >"$dir/known"; then echo "a right verdict passed for a known error"; exit 1; fi
grep -q '^gpt2_bf16: training' "$dir/known"
# The same products without names and labels, and under false ones.
zcat tests/phases/runs/gpt2_ckpt_layer.run.gz >"$dir/true.run"
sed -E '/^w |^#/d; s/^kind .*/kind inference/; s/^name .*/name decode_server/; s/ (addmm|mm) / bmm /' "$dir/true.run" >"$dir/false.run"
for f in true false; do "$B/opmeter" replay "$dir/$f.run" --json >"$dir/$f.json"; done
python3 tests/phases/compare.py "$dir"
