/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_EVIDENCE_VERBS_H
#define OPMETER_CLI_EVIDENCE_VERBS_H

int evidence_export(int argc, char **argv);
int evidence_verify(int argc, char **argv);

#endif
