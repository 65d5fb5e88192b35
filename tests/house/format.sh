#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The layout of our C is .clang-format's: `make format` writes it. The kernel's types are laid out by hand.
# Versions of clang-format differ in taste; the one that counts is Debian 12's.
set -u
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
version=$(clang-format --version | sed -nE 's/.*version ([0-9]+).*/\1/p')
[ "$version" = 14 ] || { echo "clang-format is version $version, and the layout is version 14's"; exit 77; }
mapfile -t sources < <(git ls-files -co --exclude-standard 'userspace/*.[ch]' 'exporters/*.[ch]' 'bpf/*.[ch]' ':!bpf/vmlinux.h')
[ ${#sources[@]} -gt 50 ] || { echo "only ${#sources[@]} sources found"; exit 1; }
bad=0
for f in "${sources[@]}"; do
	[ -e "$f" ] || continue
	clang-format "$f" | diff -U0 --label "$f" --label "$f as make format writes it" "$f" - || bad=1
done
exit $bad
