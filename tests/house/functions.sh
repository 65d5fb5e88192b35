#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No function over 70 lines: what is longer can't be read at one look.
set -u
command -v ctags >/dev/null || { echo "universal-ctags is not installed"; exit 77; }
max=70
mapfile -t sources < <(git ls-files -co --exclude-standard 'userspace/*.c' 'exporters/*.c' 'bpf/*.c' 'bpf/*.h' 'tests/*.c')
ctags -f - --fields=+ne --kinds-c=f --language-force=C --sort=no "${sources[@]}" | awk -F'\t' -v max=$max '
	{ from = to = 0
	  for (i = 4; i <= NF; i++) { if ($i ~ /^line:/) from = substr($i, 6); if ($i ~ /^end:/) to = substr($i, 5) }
	  if (to) count++
	  if (to - from + 1 > max) { printf "%s:%d: %s has %d lines, more than %d\n", $2, from, $1, to - from + 1, max; bad = 1 } }
	END { if (count < 500) { print "only " count + 0 " functions were found: does ctags tell where they end?"; bad = 1 }
	      exit bad }'
