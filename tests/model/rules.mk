# SPDX-License-Identifier: Apache-2.0
# `make models`: what the fingerprints of recorded runs say, against what their recorder knows.
TEST_PROGRAMS += $(B)/tests/model/model

models: $(B)/tests/model/model ## the fingerprints of recorded runs against the truth
	@$(B)/tests/model/model --one-thread tests/phases/runs tests/phases/held
	@$(B)/tests/model/model tests/phases/runs tests/phases/held
	@$(B)/tests/model/model --live tests/phases/runs tests/phases/held
	@$(B)/tests/model/model --lies tests/phases/held
.PHONY: models

$(B)/tests/model/model: tests/model/model.c tests/model/lies.c tests/model/lies.h $(B)/libopmeter.a
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -I. -o $@ tests/model/model.c tests/model/lies.c $(B)/libopmeter.a $(PKG_LIBS) -lm
