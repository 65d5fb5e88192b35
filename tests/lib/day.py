# SPDX-License-Identifier: Apache-2.0
"""A UTC day that does not end in the middle of a test whose truth is of one day."""
import time

DAY = 86400


def await_day(seconds):
    """Until the day has so many seconds left: at once, or past midnight."""
    left = DAY - time.time() % DAY
    if left < seconds:
        print(f"waits {left:.0f} s for the next day")
        time.sleep(left + 1)
