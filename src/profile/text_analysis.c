/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile/text_analysis.h"

int ptf_text_analysis_probe(const char *path)
{
	(void)path;
	return 0;
}

int ptf_text_analysis_run(struct ptf_profile *profile, const struct ptf_analysis_options *options,
	struct ptf_error *err)
{
	(void)profile;
	(void)options;
	return ptf_error_set(err, PTF_EUNSUPPORTED, "text");
}
