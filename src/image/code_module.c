/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/code_module.h"

#include <stdlib.h>
#include <string.h>

#include "image/kernel_code.h"
#include "image/module_file.h"

void ptf_module_init(struct ptf_module *module, struct ptf_module_private *priv,
        const struct ptf_module_context *context)
{
	module->priv = priv;
	priv->context = context;
	pthread_mutex_init(&priv->lock, NULL);
}

void ptf_module_symbols_destroy(struct ptf_module_symbols *symbols)
{
	if (!symbols)
		return;
	ptf_elf_symbols_destroy(symbols->elf);
	free(symbols->functions);
	free(symbols);
}

void ptf_module_release(struct ptf_module *module)
{
	struct ptf_module_private *priv = module->priv;

	ptf_module_symbols_destroy(priv->symbols);
	if (priv->is_elf)
		ptf_elf_file_release(&priv->elf);
	ptf_file_map_release(&priv->map);
	free(priv->copy);
	free(priv->disk_path);
	pthread_mutex_destroy(&priv->lock);
}

bool ptf_module_is_anonymous(const char *path)
{
	static const char *const prefixes[] = {
	        "//", "/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/[aio]"};

	if (path[0] != '/')
		return strcmp(path, "[vdso]") != 0;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static enum ptf_module_state open_locked(struct ptf_module *module)
{
	struct ptf_module_private *priv = module->priv;
	enum ptf_module_state state = atomic_load(&priv->state);

	if (state != PTF_MODULE_CLOSED)
		return state;
	module->missing = !ptf_module_file_find(module, &module->problem);
	module->disk_path = priv->disk_path;
	state = module->missing ? PTF_MODULE_MISSING : PTF_MODULE_OPEN;
	atomic_store(&priv->state, state);
	return state;
}

int ptf_module_open(struct ptf_module *module)
{
	struct ptf_module_private *priv = module->priv;
	enum ptf_module_state state = atomic_load(&priv->state);

	if (state == PTF_MODULE_CLOSED) {
		pthread_mutex_lock(&priv->lock);
		state = open_locked(module);
		pthread_mutex_unlock(&priv->lock);
	}
	return state == PTF_MODULE_OPEN ? 0 : -1;
}

const uint8_t *ptf_module_bytes(struct ptf_module *module, size_t *size)
{
	if (ptf_module_open(module) < 0)
		return NULL;
	*size = module->priv->size;
	return module->priv->bytes;
}

uint64_t ptf_module_vaddr(struct ptf_module *module, uint64_t file_offset)
{
	uint64_t vaddr = file_offset;

	if (ptf_module_open(module) == 0 && module->priv->is_elf)
		ptf_elf_file_vaddr(&module->priv->elf, file_offset, &vaddr);
	return vaddr;
}

struct ptf_module_symbols *ptf_module_symbols_finish(struct ptf_module_symbols *symbols)
{
	size_t n = symbols->elf ? symbols->elf->n_functions : 0;

	symbols->functions = calloc(n ? n : 1, sizeof(*symbols->functions));
	if (symbols->functions)
		return symbols;
	ptf_module_symbols_destroy(symbols);
	return NULL;
}

/* The symbols of the module's file, empty when it has none; NULL when out of memory. */
static struct ptf_module_symbols *read_symbols(const struct ptf_module *module)
{
	const struct ptf_module_private *priv = module->priv;
	struct ptf_elf_debug_search search = {
	        .path = priv->disk_path, .symfs = priv->context->symfs};
	struct ptf_module_symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return NULL;
	if (priv->is_elf && ptf_elf_symbols_create(&symbols->elf, &priv->elf, &search, NULL) < 0) {
		ptf_module_symbols_destroy(symbols);
		return NULL;
	}
	return ptf_module_symbols_finish(symbols);
}

static struct ptf_module_symbols *symbols_of(struct ptf_module *module)
{
	struct ptf_module_private *priv = module->priv;
	struct ptf_module_symbols *symbols = atomic_load(&priv->symbols);

	if (symbols)
		return symbols;
	if (ptf_module_open(module) < 0 || (module->kernel && !priv->is_vmlinux))
		return module->kernel ? ptf_kernel_code_symbols(priv->context->kernel) : NULL;
	pthread_mutex_lock(&priv->lock);
	symbols = atomic_load(&priv->symbols);
	if (!symbols) {
		symbols = read_symbols(module);
		atomic_store(&priv->symbols, symbols);
	}
	pthread_mutex_unlock(&priv->lock);
	return symbols;
}

static unsigned kernel_flag(const struct ptf_module *module)
{
	return module->kernel ? PTF_INTERN_KERNEL : 0;
}

/* The function of a range, made on first use: most of a module's functions never run. */
static const struct ptf_function *range_function(const struct ptf_module *module,
        struct ptf_module_symbols *symbols, const struct ptf_elf_range *range)
{
	const struct ptf_elf_function *f = &symbols->elf->functions[range->function];
	const struct ptf_function *function =
	        atomic_load_explicit(&symbols->functions[range->function], memory_order_acquire);

	if (function)
		return function;
	/* Two threads may come here at once: the table gives both the same function. */
	function = ptf_function_table_intern(module->priv->context->functions, module->path,
	        f->start, f->size, f->kind, f->name, PTF_INTERN_DEMANGLE | kernel_flag(module));
	atomic_store_explicit(&symbols->functions[range->function], function, memory_order_release);
	return function;
}

static const struct ptf_function *whole_module(struct ptf_module *module)
{
	/* "[vsyscall]" and its like have a name of their own. */
	static const char *const made[] = {"/", "[heap]", "[stack", "[anon"};
	struct ptf_module_private *priv = module->priv;
	const struct ptf_function *function =
	        atomic_load_explicit(&priv->whole, memory_order_acquire);
	const char *name = NULL;

	if (function)
		return function;
	for (size_t i = 0; module->anonymous && i < sizeof(made) / sizeof(*made); i++)
		if (strncmp(module->path, made[i], strlen(made[i])) == 0)
			name = "[jit]";
	function = ptf_function_table_intern(priv->context->functions, module->path, 0, 0,
	        PTF_FUNCTION_MODULE, name, kernel_flag(module));
	atomic_store_explicit(&priv->whole, function, memory_order_release);
	return function;
}

const struct ptf_function *ptf_module_function(
        struct ptf_module *module, uint64_t vaddr, bool target, bool *has_entry, uint64_t *start)
{
	struct ptf_module_symbols *symbols = symbols_of(module);
	const struct ptf_elf_range *range =
	        symbols && symbols->elf ? ptf_elf_symbols_find(symbols->elf, vaddr) : NULL;

	*has_entry = range || target;
	*start = vaddr;
	if (range) {
		*start = symbols->elf->functions[range->function].start;
		return range_function(module, symbols, range);
	}
	if (target && !module->anonymous)
		return ptf_function_table_intern(module->priv->context->functions, module->path,
		        vaddr, 0, PTF_FUNCTION_TARGET, NULL, kernel_flag(module));
	return whole_module(module);
}
