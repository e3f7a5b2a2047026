/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/output_formats.h"

#include <string.h>
#include <strings.h>

const struct ptf_output_format *const ptf_output_formats[] = {
        &ptf_output_folded, &ptf_output_svg, &ptf_output_json, &ptf_output_table, NULL};

const struct ptf_output_format *ptf_output_format_find(const char *name)
{
	for (size_t i = 0; ptf_output_formats[i]; i++) {
		if (!strcmp(ptf_output_formats[i]->name, name))
			return ptf_output_formats[i];
	}
	return NULL;
}

static bool has_ending(const char *path, const char *ending)
{
	size_t len = strlen(path), n = strlen(ending);

	return len > n && !strcasecmp(path + len - n, ending);
}

const struct ptf_output_format *ptf_output_format_of_file(const char *path)
{
	for (size_t i = 0; ptf_output_formats[i]; i++) {
		const char *const *ending = ptf_output_formats[i]->endings;

		for (; *ending; ending++) {
			if (has_ending(path, *ending))
				return ptf_output_formats[i];
		}
	}
	return NULL;
}
