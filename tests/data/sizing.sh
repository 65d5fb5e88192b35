#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/sizing.md is what was measured, and nothing typed by hand.
exec "${PYTHON:-python3}" tests/bench/sizing.py --check
