#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where an owner is headquartered: a country or an error, and an alias is the country that it stands for.
set -euo pipefail
B=${B:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
mkdir "$dir/regimes"
cp data/regimes/country-sets.yaml "$dir/regimes/"
sed 's/home: US/home: GB/' data/regimes/us-bis-capacity.yaml >"$dir/regimes/r.yaml"
grep -q 'home: GB' "$dir/regimes/r.yaml" || fail "no cap is about the headquarters"
printf 'site,country,owner,chip,count,date\na,UK,Acme,A100,5,2026-01-05\nb,JP,Acme,A100,4,2026-01-05\n' >"$dir/inventory.csv"
tpp() { "$B/opmeter" tpp "$dir/inventory.csv" --regimes "$dir/regimes" --chips data/tpp.csv --at 2026-02-01 --json "$@"; }
for bad in us Us 1A U USA 'U ' ZZ; do
	r=0
	tpp --home "Acme=$bad" >"$dir/out" 2>"$dir/err" || r=$?
	[ "$r" -eq 2 ] || fail "--home Acme=$bad exits $r"
	grep -q "two capital letters such as US, not 'Acme=$bad'" "$dir/err" || fail "--home Acme=$bad: $(cat "$dir/err")"
done
for home in GB UK; do
	tpp --home "Acme=$home" --status Acme=UVEU >"$dir/out" || [ $? -eq 3 ] || fail "--home Acme=$home exits $?"
	grep '"limit":"uveu-us-abroad"' "$dir/out" >"$dir/cap" || fail "--home Acme=$home: it is not seen as GB: $(cat "$dir/out")"
	grep -q "\"tpp\":\"$((4 * 4992))\",\"of\":\"$((9 * 4992))\",\"state\":\"within\"" "$dir/cap" || fail "--home Acme=$home: $(cat "$dir/cap")"
done
# Who is a VEU is for people to say: until then nothing of it is met, and late and doubled rows are told.
printf 'site,country,owner,chip,count,date\na,IN,Acme,A100,5,2026-01-05\na,IN,Acme,A100,5,2026-01-05\na,IN,Acme,A100,5,2099-01-05\n' >"$dir/inventory.csv"
tpp >"$dir/out" 2>"$dir/err" || [ $? -eq 3 ]
grep '"limit":"uveu-outside"' "$dir/out" | grep -q 'conditional(whether the owner is a UVEU: --status OWNER=UVEU)' || fail "without --status: $(cat "$dir/out")"
grep -q '1 rows say what another one says' "$dir/err" || fail "doubled rows: $(cat "$dir/err")"
grep -q '1 rows of days after 2026-02-01 are in no sum' "$dir/err" || fail "late rows: $(cat "$dir/err")"
r=0
tpp --status Acme=UVEU >"$dir/out" 2>"$dir/err" || r=$?
[ "$r" -eq 3 ] || fail "a UVEU with all outside exits $r"
r=0
tpp --status Acme=VEU >"$dir/out" 2>"$dir/err" || r=$?
[ "$r" -eq 2 ] || fail "--status Acme=VEU exits $r"
echo "the headquarters and status of an owner: as they should be"
