/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "pt/flow_engine.h"

void ptf_engine_counts_release(struct ptf_engine_counts *counts)
{
	ptf_vec_release(&counts->missing_by_module);
}

bool ptf_engine_counts_add(struct ptf_engine_counts *to, const struct ptf_engine_counts *from)
{
	to->instructions += from->instructions;
	to->calls += from->calls;
	to->returns += from->returns;
	to->psbs += from->psbs;
	to->overflows += from->overflows;
	to->errors += from->errors;
	to->lost_bytes += from->lost_bytes;
	to->unmapped_errors += from->unmapped_errors;
	to->jit_errors += from->jit_errors;
	for (unsigned i = 0; i < PTF_DISTANCE_BUCKETS; i++)
		to->distances.count[i] += from->distances.count[i];
	while (to->missing_by_module.n < from->missing_by_module.n) {
		if (!ptf_vec_push(&to->missing_by_module, 0))
			return false;
	}
	for (size_t i = 0; i < from->missing_by_module.n; i++)
		to->missing_by_module.v[i] += from->missing_by_module.v[i];
	return true;
}

bool ptf_engine_counts_no_code(
        struct ptf_engine_counts *counts, const struct ptf_code_epoch *code, uint64_t ip)
{
	const struct ptf_code_map *map = code ? ptf_code_epoch_find(code, ip) : NULL;

	if (!map) {
		counts->unmapped_errors++;
		return true;
	}
	if (map->module->anonymous) {
		counts->jit_errors++;
		return true;
	}
	while (counts->missing_by_module.n <= map->module->index) {
		if (!ptf_vec_push(&counts->missing_by_module, 0))
			return false;
	}
	counts->missing_by_module.v[map->module->index]++;
	return true;
}

const struct ptf_flow_engine_ops *ptf_flow_engine_find(const char *name)
{
	static const struct ptf_flow_engine_ops *const engines[] = {
	        &ptf_engine_fast, &ptf_engine_libipt};

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (strcmp(name, engines[i]->name) == 0)
			return engines[i];
	}
	return NULL;
}
