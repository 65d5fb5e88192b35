# SPDX-License-Identifier: Apache-2.0
# The peer of tests/gpu: built where tools/deps has put CUPTI's headers, left out where it has not (the rig says so).
GPU_HEADERS := $(or $(OPMETER_CACHE),$(HOME)/.cache/opmeter)/gpu
GPU_INCLUDES := $(wildcard $(GPU_HEADERS)/nvidia_cuda_cupti-13.*/nvidia/cu13/include $(GPU_HEADERS)/nvidia_cuda_runtime-13.*/nvidia/cu13/include \
	$(GPU_HEADERS)/nvidia_cuda_crt-13.*/nvidia/cu13/include)
ifeq ($(words $(GPU_INCLUDES)),3)
TEST_PROGRAMS += $(B)/tests/gpu/tracer.so
endif

# A header of 13.0 includes C++'s <string> without using it: an empty one stands in.
$(B)/tests/gpu/tracer.so: tests/gpu/peer/tracer.c tests/gpu/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)/shim && : > $(@D)/shim/string
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Werror -Wmissing-prototypes -fPIC -shared -isystem $(@D)/shim \
		$(addprefix -isystem ,$(GPU_INCLUDES)) -o $@ $< -ldl -pthread
