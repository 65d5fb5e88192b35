#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "${B:-build}/tests/bpf/meter" buffers
