/* SPDX-License-Identifier: BSD-2-Clause */
/* dump_stacks PID: prints the stacks of its threads, one "TID TIME_NS IP IP..." a line, innermost
 * first; then "refused N", "longest N" (ns) and "now FIRST LAST", the perf clock before and after.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "record/stack_copy.h"

static int print_stack(const struct ptf_stack_copies *copies, const struct ptf_stack_copy *thread,
        struct ptf_error *err)
{
	struct ptf_stack_unwinder *unwinder = NULL;
	struct ptf_ips ips = {0};
	int rc = ptf_stack_unwinder_create(&unwinder, &copies->processes.v[0].maps, err);

	if (rc == 0)
		rc = ptf_stack_unwinder_run(unwinder, &thread->copy, &ips, err);
	printf("%d %" PRIu64, (int)thread->tid, thread->time_ns);
	ptf_vec_foreach (ip, &ips)
		printf(" %" PRIx64, *ip);
	printf("\n");
	ptf_vec_release(&ips);
	ptf_stack_unwinder_destroy(unwinder);
	return rc;
}

int main(int argc, char **argv)
{
	struct ptf_stack_copies copies;
	struct ptf_error err = {0};
	uint64_t first, last;
	int rc = ptf_stack_copies_init(&copies, &err);

	if (argc != 2)
		return 2;
	if (rc < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 77;
	}
	first = ptf_stack_copies_now(&copies);
	rc = ptf_stack_copies_take(&copies, (pid_t)atoi(argv[1]), 0, &err);
	for (int i = 0; i < 1000 && ptf_stack_copies_poll(&copies); i++)
		usleep(1000);
	last = ptf_stack_copies_now(&copies);
	ptf_vec_foreach (thread, &copies.threads) {
		if (rc == 0 && thread->copy.stack)
			rc = print_stack(&copies, thread, &err);
	}
	printf("refused %zu\nlongest %" PRIu64 "\nnow %" PRIu64 " %" PRIu64 "\n", copies.refused,
	        copies.longest_stop_ns, first, last);
	ptf_stack_copies_release(&copies);
	if (rc < 0)
		fprintf(stderr, "%s\n", err.msg);
	return rc < 0;
}
