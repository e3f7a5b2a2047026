/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/demangle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

/* Longer names exist only to exhaust the demangler, whose output can be exponential in them. */
#define MAX_MANGLED 4096

char *ptf_demangle(const char *raw_name)
{
	char mangled[MAX_MANGLED];
	size_t len = strcspn(raw_name, "@");
	char *plain, *name = NULL;

	/* _Z: C++ and older Rust, _R: Rust since 2021. libiberty would also take other styles, in
	 * which names of plain C functions mean something. */
	if (raw_name[0] != '_' || !strchr("ZR", raw_name[1]) || len >= sizeof(mangled))
		return NULL;
	memcpy(mangled, raw_name, len);
	mangled[len] = '\0';
	plain = cplus_demangle(mangled, DMGL_AUTO);
	if (!plain || raw_name[len] == '\0')
		return plain;
	if (asprintf(&name, "%s%s", plain, raw_name + len) < 0)
		name = NULL;
	free(plain);
	return name;
}
