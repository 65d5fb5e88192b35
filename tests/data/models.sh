#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table of fingerprints in the documentation is the one that is printed, and the verb says what the table is made of.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
{
	"$B/tests/model/model" --one-thread tests/phases/runs tests/phases/held
	"$B/tests/model/model" tests/phases/runs tests/phases/held
	"$B/tests/model/model" --live tests/phases/runs tests/phases/held
	"$B/tests/model/model" --lies tests/phases/held
} >"$dir/table"
diff <(grep '^|' docs/model.md) <(grep '^|' "$dir/table") || { echo "docs/model.md: not what 'make models' prints"; exit 1; }
"$B/opmeter" replay tests/phases/runs/real_llama31_70b_tp8.run.gz --json --architectures data/architectures.csv >"$dir/run.json"
python3 - "$dir/run.json" <<'END'
import json, sys
m = json.load(open(sys.argv[1]))["model"]
assert (m["hidden"], m["layers"], m["vocabulary"], m["experts"]) == (8192, 6, 128256 // 8, None), m
assert m["matches"][0]["name"] == "llama-3-70b" and m["matches"][0]["tensor_parallel"] == 8, m["matches"]
assert m["parameters"]["low"] <= m["parameters"]["best"] <= m["parameters"]["high"] and m["fingerprint"].startswith("opmeter-model 1 "), m
END
# Labels play no part.
zcat tests/phases/runs/gpt2_bf16.run.gz >"$dir/a.run"
sed -E '/^w |^#/d; s/^kind .*/kind other/; s/^name .*/name x/' "$dir/a.run" >"$dir/b.run"
for f in a b; do "$B/opmeter" replay "$dir/$f.run" --json --architectures data/architectures.csv | python3 -c 'import json, sys; print(json.load(sys.stdin)["model"])' >"$dir/$f.json"; done
cmp "$dir/a.json" "$dir/b.json"
