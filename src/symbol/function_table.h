/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that a run knows: every layer above names a function by a pointer to one of these.
 *
 * A function is (module, address). Structs live in the table's arena and never move, so pointers
 * are compared for identity and read without a lock; making new ones is thread-safe.
 */
#ifndef PTF_FUNCTION_TABLE_H
#define PTF_FUNCTION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum ptf_function_kind {
	PTF_FUNCTION_UNKNOWN, /* the table's one "[unknown]": no module, or nothing known */
	PTF_FUNCTION_SYMBOL,  /* of symtab, dynsym or .gnu_debugdata */
	PTF_FUNCTION_PLT,     /* PLT stub, "qsort@plt" */
	PTF_FUNCTION_FDE,     /* range of an .eh_frame FDE without a symbol */
	PTF_FUNCTION_JIT,     /* made at run time, named by a jitdump or perf map */
	PTF_FUNCTION_TARGET,  /* begins at a call target that nothing covers */
	PTF_FUNCTION_MODULE,  /* code of the module that nothing covers, before any call target */
	PTF_FUNCTION_TEXT,    /* named by perf script's text */
};

/* What the stack rules must know of a function; told by its symbol. */
enum ptf_function_role {
	PTF_ROLE_NONE,
	PTF_ROLE_RETURNS_TWICE, /* setjmp and its like: control comes back to where it returned */
	PTF_ROLE_UNWINDS_ON,    /* _Unwind_Resume: never goes on in the frame that called it */
	PTF_ROLE_SWITCHES_TASK, /* the kernel's __switch_to: what it returns to is another thread */
};

struct ptf_function {
	const char *name; /* demangled; "[module+0xVADDR]" without a symbol; never NULL or empty */
	const char *raw_name; /* as in the symbol table, or NULL */
	const char *module;   /* path as mapped, "" when unknown */
	uint64_t address;     /* ELF virtual address of the entry */
	uint64_t size;        /* bytes, 0 when unknown */
	uint32_t id;          /* 0 for [unknown], then counted up: an index for arrays */
	enum ptf_function_kind kind;
	enum ptf_function_role role;
	bool watched; /* its name is the one of ptf_function_table_watch */
	bool kernel; /* of the kernel or one of its modules */
};

/* Does a symbol, PLT stub, FDE or JIT compiler say where this function begins and ends? */
static inline bool ptf_function_is_covered(const struct ptf_function *function)
{
	return function->kind == PTF_FUNCTION_SYMBOL || function->kind == PTF_FUNCTION_PLT ||
	       function->kind == PTF_FUNCTION_FDE || function->kind == PTF_FUNCTION_JIT;
}

struct ptf_function_table;

/* NULL when out of memory. The table owns all names given to it (copies). */
struct ptf_function_table *ptf_function_table_create(void);
void ptf_function_table_destroy(struct ptf_function_table *table);

/* Functions made from now on are watched if they are called `name`: as printed, or as in the symbol
 * table; arguments behind it, "f(int)", are ignored. The name is copied. False: out of memory. */
bool ptf_function_table_watch(struct ptf_function_table *table, const char *name);

/* Number of functions; ids are 0..count-1. */
uint32_t ptf_function_table_count(const struct ptf_function_table *table);
const struct ptf_function *ptf_function_table_get(
        const struct ptf_function_table *table, uint32_t id);

/* The "[unknown]" function, id 0. */
const struct ptf_function *ptf_function_table_unknown(const struct ptf_function_table *table);

enum ptf_intern_flag {
	PTF_INTERN_DEMANGLE = 1, /* run raw_name through libiberty's demangler (C++, Rust, with
	                          * parameters left out as perf prints it) */
	PTF_INTERN_KERNEL = 2,   /* it is of the kernel */
};

/* Finds or makes the function (module, address, kind, raw_name). raw_name may be NULL: then the
 * name is made of the module's base name and address. flags: enum
 * ptf_intern_flag. NULL when out of memory. */
const struct ptf_function *ptf_function_table_intern(struct ptf_function_table *table,
        const char *module, uint64_t address, uint64_t size, enum ptf_function_kind kind,
        const char *raw_name, unsigned flags);

#endif
