# SPDX-License-Identifier: Apache-2.0
# The simulated GPU: stand-ins for the driver's libraries. A test rig: nothing of it is installed.
SIMGPU := $(B)/simgpu/libcuda.so.1 $(B)/simgpu/libcublas.so.99 $(B)/simgpu/libnvidia-ml.so.1
TEST_PROGRAMS += $(SIMGPU)
# The frame pointer makes functions begin with a push, which the kernel emulates, as the real ones can be probed cheaply.
SIMGPU_FLAGS := -D_GNU_SOURCE -O1 -fno-omit-frame-pointer -g -Wall -Werror -Wno-missing-prototypes -fPIC -shared -pthread

$(B)/simgpu/libcuda.so.1: tests/simgpu/libcuda.c tests/simgpu/simgpu.h tests/simgpu/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SIMGPU_FLAGS) -Wl,-soname,libcuda.so.1 -o $@ $<

$(B)/simgpu/libcublas.so.99: tests/simgpu/libcublas.c $(B)/simgpu/libcuda.so.1
	$(call say,SO,$@)
	$(Q)$(CC) $(SIMGPU_FLAGS) -o $@ $< $(B)/simgpu/libcuda.so.1

# Two layers between a process and the driver: the inner one calls, the outer one jumps.
SHIMS := $(B)/simgpu/libshim_calls.so $(B)/simgpu/libshim_jumps.so
TEST_PROGRAMS += $(SHIMS)
$(SHIMS): $(B)/simgpu/lib%.so: tests/simgpu/libshim.c tests/simgpu/rules.mk | $(B)/simgpu/libcuda.so.1
	$(call say,SO,$@)
	$(Q)$(CC) -D_GNU_SOURCE -g -Wall -Werror -fPIC -shared $(SHIM_FLAGS) -Wl,-soname,lib$*.so -Wl,-rpath,'$$ORIGIN' -o $@ $< $(SHIM_NEEDS)
$(B)/simgpu/libshim_calls.so: SHIM_FLAGS = -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls -DNEXT='"libcuda.so.1"'
$(B)/simgpu/libshim_calls.so: SHIM_NEEDS = -Wl,--no-as-needed $(B)/simgpu/libcuda.so.1
$(B)/simgpu/libshim_jumps.so: SHIM_FLAGS = -O2 -DNEXT='"libshim_calls.so"'
$(B)/simgpu/libshim_jumps.so: SHIM_NEEDS = -Wl,--no-as-needed $(B)/simgpu/libshim_calls.so
$(B)/simgpu/libshim_jumps.so: | $(B)/simgpu/libshim_calls.so

$(B)/simgpu/libnvidia-ml.so.1: tests/simgpu/libnvidia-ml.c
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SIMGPU_FLAGS) -Wl,-soname,libnvidia-ml.so.1 -o $@ $<

TEST_PROGRAMS += $(B)/simgpu/launcher
$(B)/simgpu/launcher: tests/simgpu/launcher.c
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -O1 -Wall -Werror -o $@ $< -ldl
