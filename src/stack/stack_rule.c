/* SPDX-License-Identifier: BSD-2-Clause */
#include "stack/stack_rule.h"

static const struct {
	const char *name, *text;
} rules[PTF_RULES] = {
#define X(id, name, text) [id] = {name, text},
        PTF_STACK_RULES(X)
#undef X
};

const char *ptf_stack_rule_name(enum ptf_stack_rule rule)
{
	return rules[rule].name;
}

const char *ptf_stack_rule_text(enum ptf_stack_rule rule)
{
	return rules[rule].text;
}
