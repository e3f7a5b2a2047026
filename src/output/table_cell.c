/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/table_cell.h"

static void put(FILE *out, struct ptf_text *cell, int width)
{
	fprintf(out, "%*s ", width, ptf_text_string(cell));
	ptf_text_clear(cell);
}

void ptf_cell_count(FILE *out, struct ptf_text *cell, uint64_t value, int width)
{
	ptf_text_append_grouped(cell, value);
	put(out, cell, width);
}

void ptf_cell_time(FILE *out, struct ptf_text *cell, bool known, uint64_t ns)
{
	if (known)
		ptf_text_append_duration(cell, ns);
	else
		ptf_text_append(cell, "-", 1);
	put(out, cell, 9);
}

void ptf_cell_share(FILE *out, uint64_t value, uint64_t whole)
{
	fprintf(out, "%6.2f%% ", whole ? 100.0 * (double)value / (double)whole : 0.0);
}
