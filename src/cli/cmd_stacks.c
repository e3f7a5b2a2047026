/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ptflame stacks`: the stack of every thread at an instant, in the form of pstack and gdb.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "output/json_object.h"
#include "output/output_text.h"
#include "profile/syscall_name.h"
#include "profile/thread_stack.h"

enum { OPT_AT = 256 };

struct stacks_options {
	struct ptf_common_options common;
	const char *output;
	bool at_given, json;
};

static const struct argp_option options[] = {
        {"at", OPT_AT, "T", 0, "The instant, in seconds from the start of the recording", 0},
        {"format", 'f', "FORMAT", 0, "text (default) or json", 0},
        {"output", 'o', "FILE", 0, "Write here", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const formats[] = {"text", "json", NULL};
	struct stacks_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case 'f':
		o->json = ptf_option_choice(state, formats, arg, "-f") == 1;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_AT:
		o->at_given = true;
		o->common.analysis.slice =
		        ptf_time_slice_at(ptf_option_seconds(state, arg, "--at"));
		return 0;
	case ARGP_KEY_END:
		if (!o->at_given)
			argp_error(state, "when? Give --at T");
		if (!o->common.analysis.slice.instant)
			argp_error(state, "--at is an instant: --time has no use");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp stacks_argp = {options, parse_option, NULL,
        "Prints the stack of every thread at an instant.\v"
        "Decodes the recording up to there.",
        ptf_common_children, NULL, NULL};

/* ---- words ---- */

static const char *const reason_words[PTF_OFF_REASONS] = {[PTF_OFF_BLOCKED] = "blocked",
        [PTF_OFF_PREEMPTED] = "preempted",
        [PTF_OFF_YIELDED] = "yielded",
        [PTF_OFF_RUNQUEUE] = "runqueue",
        [PTF_OFF_UNKNOWN] = "off",
        [PTF_OFF_RECORDER] = "recorder"};
_Static_assert(PTF_OFF_REASONS == 6, "every reason has a word");

static bool is_off(const struct ptf_thread_stack *stack)
{
	return stack->life == PTF_LIFE_GOES_ON && stack->time_class >= PTF_TIME_OFF;
}

static enum ptf_place place_of(const struct ptf_thread_stack *stack)
{
	static const unsigned char of_class[] = {[PTF_TIME_ON] = PTF_PLACE_USER,
	        [PTF_TIME_FILTERED] = PTF_PLACE_FILTERED,
	        [PTF_TIME_SYSCALL] = PTF_PLACE_SYSCALL,
	        [PTF_TIME_INTERRUPT] = PTF_PLACE_INTERRUPT,
	        [PTF_TIME_KERNEL] = PTF_PLACE_KERNEL,
	        [PTF_TIME_LOST] = PTF_PLACE_USER};

	return is_off(stack) ? ptf_time_class_place(stack->time_class)
	                     : (enum ptf_place)of_class[stack->time_class];
}

/* The system call that the thread is in; false: none, or its name is not known. */
static bool syscall_name(const struct ptf_thread_stack *stack, char name[PTF_SYSCALL_NAME_SIZE])
{
	return place_of(stack) == PTF_PLACE_SYSCALL && stack->n &&
	       ptf_syscall_name(stack->frames[0].function, name);
}

/* ---- text ---- */

static void append_place(struct ptf_text *text, const struct ptf_thread_stack *stack)
{
	char name[PTF_SYSCALL_NAME_SIZE];

	switch (place_of(stack)) {
	case PTF_PLACE_SYSCALL:
		if (syscall_name(stack, name))
			ptf_text_printf(text, "in syscall:%s", name);
		else
			ptf_text_printf(text, "in a system call");
		return;
	case PTF_PLACE_INTERRUPT:
		ptf_text_printf(text, "in an interrupt or fault");
		return;
	case PTF_PLACE_KERNEL:
		ptf_text_printf(text, "in the kernel");
		return;
	case PTF_PLACE_FILTERED:
		ptf_text_printf(text, "outside of the address filter");
		return;
	case PTF_PLACE_USER:
	case PTF_PLACES:
		return;
	}
}

static void append_state(struct ptf_text *text, const struct ptf_thread_stack *stack, bool switches)
{
	bool user = place_of(stack) == PTF_PLACE_USER;

	if (stack->time_class == PTF_TIME_LOST)
		ptf_text_printf(text, "lost, trace data is missing");
	else if (is_off(stack))
		ptf_text_printf(text, "%s%s",
		        reason_words[ptf_time_class_reason(stack->time_class)], user ? "" : " ");
	else if (user)
		ptf_text_printf(text, "running");
	append_place(text, stack);
	if (!switches && !user && stack->time_class != PTF_TIME_FILTERED)
		ptf_text_printf(text, ", on a CPU or off");
}

static void append_since(
        struct ptf_text *text, const struct ptf_thread_stack *stack, uint64_t at_ns)
{
	if (stack->since_ns == PTF_NO_TIME || stack->since_ns > at_ns)
		return;
	ptf_text_printf(text, " for %s", stack->since_open ? "at least " : "");
	ptf_text_append_duration(text, at_ns - stack->since_ns);
	if (stack->until_ns == PTF_NO_TIME)
		return;
	ptf_text_printf(text, " (of %s", stack->since_open || stack->until_open ? "at least " : "");
	ptf_text_append_duration(text, stack->until_ns - stack->since_ns);
	ptf_text_printf(text, ")");
}

static void append_frame(struct ptf_text *text, size_t i, const struct ptf_stack_frame *frame)
{
	const struct ptf_function *function = frame->function;

	if (frame->address == PTF_NO_IP)
		ptf_text_printf(text, "#%-3zu %18s ", i, "");
	else
		ptf_text_printf(text, "#%-3zu 0x%016" PRIx64 " ", i, frame->address);
	ptf_text_printf(text, "in ");
	ptf_text_append_clean(text, function ? function->name : "[unknown]");
	ptf_text_printf(text, " ()");
	if (function && *function->module) {
		ptf_text_printf(text, " from ");
		ptf_text_append_clean(text, function->module);
	}
	ptf_text_printf(text, "\n");
}

static void append_thread(
        struct ptf_text *text, const struct ptf_profile *profile, size_t index, uint64_t at_ns)
{
	const struct ptf_profile_thread *thread = &profile->threads[index];
	const struct ptf_thread_stack *stack = thread->stack;

	ptf_text_printf(text, "%sThread %zu (tid %" PRId32 ", \"", index ? "\n" : "", index + 1,
	        thread->tid);
	ptf_text_append_clean(text, thread->comm);
	ptf_text_printf(text, "\"): ");
	if (stack->life == PTF_LIFE_NOT_STARTED) {
		ptf_text_printf(text, "not started\n");
		return;
	}
	if (stack->life == PTF_LIFE_EXITED) {
		ptf_text_printf(text, "exited\n");
		return;
	}
	append_state(text, stack, profile->window.switches);
	append_since(text, stack, at_ns);
	ptf_text_printf(text, "\n");
	for (size_t i = 0; i < stack->n; i++) {
		if (stack->frames[i].interrupted)
			ptf_text_printf(text, "     <interrupted here>\n");
		append_frame(text, i, &stack->frames[i]);
	}
}

static int write_text(
        const struct ptf_profile *profile, uint64_t at_ns, FILE *out, struct ptf_error *err)
{
	struct ptf_text text = {0};
	bool ok = true;

	for (size_t i = 0; i < profile->n_threads && ok; i++) {
		append_thread(&text, profile, i, at_ns);
		fputs(ptf_text_string(&text), out);
		ok = !text.failed;
		ptf_text_clear(&text);
	}
	ptf_text_release(&text);
	return ptf_output_finish(out, ok, err);
}

/* ---- json ---- */

static json_t *address_json(bool known, uint64_t address)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	return known ? json_string(text) : json_null();
}

static json_t *frame_json(const struct ptf_stack_frame *frame)
{
	struct ptf_json object = ptf_json_make();
	const struct ptf_function *function = frame->function;

	ptf_json_set_text(&object, "name", function ? function->name : "[unknown]");
	ptf_json_set_text(&object, "module", function ? function->module : "");
	ptf_json_set(&object, "ip", address_json(frame->address != PTF_NO_IP, frame->address));
	ptf_json_set(&object, "interrupted", json_boolean(frame->interrupted));
	return ptf_json_finish(&object);
}

static const char *state_word(const struct ptf_thread_stack *stack)
{
	static const char *const words[PTF_STATES] = {"on", "kernel", "off", "lost"};

	if (stack->life == PTF_LIFE_GOES_ON)
		return words[ptf_time_class_state(stack->time_class)];
	return stack->life == PTF_LIFE_EXITED ? "exited" : "not started";
}

static json_t *place_json(const struct ptf_thread_stack *stack)
{
	static const char *const words[PTF_PLACES] = {[PTF_PLACE_USER] = "user",
	        [PTF_PLACE_SYSCALL] = "syscall",
	        [PTF_PLACE_INTERRUPT] = "interrupt",
	        [PTF_PLACE_KERNEL] = "kernel",
	        [PTF_PLACE_FILTERED] = "filtered"};

	if (stack->life != PTF_LIFE_GOES_ON || stack->time_class == PTF_TIME_LOST)
		return json_null();
	return json_string(words[place_of(stack)]);
}

static json_t *frames_json(const struct ptf_thread_stack *stack)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < stack->n; i++)
		array = ptf_json_append(array, frame_json(&stack->frames[i]));
	return array;
}

static json_t *thread_json(const struct ptf_profile_thread *thread, uint64_t at_ns)
{
	const struct ptf_thread_stack *stack = thread->stack;
	struct ptf_json object = ptf_json_make();
	char name[PTF_SYSCALL_NAME_SIZE];
	bool since = stack->since_ns != PTF_NO_TIME && stack->since_ns <= at_ns;
	bool until = since && stack->until_ns != PTF_NO_TIME;

	ptf_json_set(&object, "pid", json_integer(thread->pid));
	ptf_json_set(&object, "tid", json_integer(thread->tid));
	ptf_json_set_text(&object, "comm", thread->comm);
	ptf_json_set(&object, "state", json_string(state_word(stack)));
	ptf_json_set(&object, "reason",
	        is_off(stack) ? json_string(reason_words[ptf_time_class_reason(stack->time_class)])
	                      : json_null());
	ptf_json_set(&object, "place", place_json(stack));
	ptf_json_set(&object, "syscall",
	        stack->life == PTF_LIFE_GOES_ON && syscall_name(stack, name) ? json_string(name)
	                                                                     : json_null());
	ptf_json_set_maybe(&object, "for_ns", since, at_ns - stack->since_ns);
	ptf_json_set_maybe(&object, "of_ns", until, stack->until_ns - stack->since_ns);
	ptf_json_set(&object, "frames", frames_json(stack));
	return ptf_json_finish(&object);
}

static int write_json(
        const struct ptf_profile *profile, uint64_t at_ns, FILE *out, struct ptf_error *err)
{
	struct ptf_json object = ptf_json_make();
	json_t *threads = json_array();

	for (size_t i = 0; threads && i < profile->n_threads; i++)
		threads = ptf_json_append(threads, thread_json(&profile->threads[i], at_ns));
	ptf_json_set(&object, "version", json_integer(1));
	ptf_json_set(&object, "window", ptf_json_window(&profile->window));
	ptf_json_set_int(&object, "at_ns", at_ns);
	ptf_json_set(&object, "threads", threads);
	return ptf_json_write(&object, out, err);
}

int cmd_stacks(int argc, char **argv)
{
	struct stacks_options o = {0};
	struct ptf_profile *profile;
	struct ptf_error err = {0};
	uint64_t at_ns;
	int status, rc;
	FILE *out;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame stacks";
	argp_parse(&stacks_argp, argc, argv, 0, NULL, &o);
	status = ptf_common_analyse(&o.common, "stacks", &profile);
	if (status != PTF_EXIT_OK)
		return status;
	at_ns = profile->window.start_ns + o.common.analysis.slice.to_ns - 1;
	out = ptf_output_open(o.output, "stacks");
	status = PTF_EXIT_FAILURE;
	if (out) {
		rc = o.json ? write_json(profile, at_ns, out, &err)
		            : write_text(profile, at_ns, out, &err);
		status = ptf_output_close(out, o.output, "stacks", rc, &err);
	}
	ptf_profile_destroy(profile);
	return status;
}
