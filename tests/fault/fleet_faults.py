#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeded fault runs of the fleet (tests/lib/fleet_run.py): totals to the last operation, alerts once each, whatever is killed,
frozen, filled, repeated or forged.

    fleet_faults.py [--first N] [--runs N]     seeds N, N + 1, ... (1, 5)
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import fleet_run

p = argparse.ArgumentParser()
p.add_argument("--first", type=int, default=1)
p.add_argument("--runs", type=int, default=5)
a = p.parse_args()
fleet_run.main(a.first, a.runs)
