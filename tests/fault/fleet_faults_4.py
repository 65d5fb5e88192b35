#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds 16 to 20 of fleet_faults.py: a test of its own, so that none needs longer than a test may."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import fleet_run

fleet_run.main(16, 5)
