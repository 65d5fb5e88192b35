# SPDX-License-Identifier: Apache-2.0
# Stand-ins for vendor files: small, and free of the vendor's licence.
FAKE_LIBS := $(addprefix $(B)/tests/fake/,libfakeblas.so libfakeblas_sysv.so libfakeblas_salted.so)
FAKE_LT_KINDS := GOOD BENT ASLEEP BURGLAR BROKEN LIAR
FAKE_LTS := $(FAKE_LT_KINDS:%=$(B)/tests/fake/libfakelt_%.so)
TEST_PROGRAMS += $(FAKE_LIBS) $(FAKE_LTS)

$(B)/tests/fake/libfakeblas.so: FAKE_FLAGS := -DFAKE_SALT=1 -Wl,--hash-style=gnu
$(B)/tests/fake/libfakeblas_sysv.so: FAKE_FLAGS := -DFAKE_SALT=1 -Wl,--hash-style=sysv
$(B)/tests/fake/libfakeblas_salted.so: FAKE_FLAGS := -DFAKE_SALT=7919 -Wl,--hash-style=both
$(FAKE_LIBS): tests/fake/libfakeblas.c tests/fake/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -O1 -fPIC -shared -Wl,--build-id $(FAKE_FLAGS) -o $@ $<

$(FAKE_LTS): $(B)/tests/fake/libfakelt_%.so: tests/fake/libfakelt.c tests/fake/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -O1 -Wall -Werror -Wno-unused-function -fPIC -shared -DFAKE_KIND=$* -o $@ $<

$(B)/tests/unit/test_elf_image: | $(FAKE_LIBS)
