/* SPDX-License-Identifier: BSD-2-Clause */
/* write_outputs FORMAT [paths]: the sample profile in a format, on stdout, for check_outputs.py. */
#include <stdio.h>

#include "output/output_formats.h"
#include "profile/tests/sample_profile.h"

int main(int argc, char **argv)
{
	const struct ptf_output_format *format = argc >= 2 ? ptf_output_format_find(argv[1]) : NULL;
	struct ptf_output_options options = {.paths = argc > 2};
	struct ptf_profile *profile;
	int rc;

	if (!format)
		return 2;
	profile = sample_profile_full();
	rc = format->write(profile, &options, stdout, NULL);
	ptf_profile_destroy(profile);
	return rc ? 1 : 0;
}
