/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profile view: the one tree that the flame graph formats draw, made of the call trees of all
 * threads.
 *
 * Level 1 are labels (thread names, threads or processes), below them the user frames, below
 * those, as leaves, pseudo-frames for the time that a function spent outside of its own code
 * (ARCHITECTURE.md, "Accounting"): `syscall:read_[k]`, `[interrupt]_[k]`, `[kernel]_[k]` or,
 * without switch events, `[kernel+off]_[k]`; `[filtered]`; `[blocked]`, `[preempted]`, `[yielded]`,
 * `[runqueue]`, `[off]`, `[recorder]` under these or directly under the function; `[lost]`. Time of
 * an empty stack is in the frame [unknown]. Equal paths are one node: functions of the same name
 * that are called from the same path share one.
 */
#ifndef PTF_PROFILE_VIEW_H
#define PTF_PROFILE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/arena.h"
#include "profile/profile.h"

enum ptf_view_by {
	PTF_BY_COMM,    /* the thread's last name; ":TID" when it has none, as perf prints it */
	PTF_BY_THREAD,  /* NAME-PID/TID */
	PTF_BY_PROCESS, /* NAME-PID, the name of its main thread */
};

enum ptf_view_weight {
	PTF_WEIGHT_WALL,   /* ns: on + kernel + off + lost */
	PTF_WEIGHT_ON,     /* ns */
	PTF_WEIGHT_KERNEL, /* ns */
	PTF_WEIGHT_OFF,    /* ns */
	PTF_WEIGHT_CALLS,  /* calls of exactly that path; no pseudo-frames */
	PTF_WEIGHT_INSNS,  /* instructions; no pseudo-frames */
};

enum ptf_view_kind {
	PTF_VIEW_ROOT,
	PTF_VIEW_LABEL,
	PTF_VIEW_USER,     /* a function */
	PTF_VIEW_FILTERED, /* user code outside of the address filter */
	PTF_VIEW_KERNEL,
	PTF_VIEW_OFF,
	PTF_VIEW_LOST,
};

struct ptf_view_options {
	enum ptf_view_by by;
	enum ptf_view_weight weight;
};

struct ptf_view_node {
	const char *name;                    /* as in the profile: any bytes */
	const struct ptf_function *function; /* of same-named ones the first by module and address;
	                                        NULL: it is none */
	struct ptf_view_node *parent;        /* NULL: the root */
	struct ptf_view_node *children;      /* by name, then kind */
	struct ptf_view_node *sibling;       /* next child of the same parent */
	enum ptf_view_kind kind;
	uint64_t self;               /* in the view's weight */
	uint64_t total;              /* with everything below */
	uint64_t calls;              /* entries seen on this path */
	uint64_t partial_calls;      /* frames whose entry or exit was not seen */
	struct ptf_call_times times; /* of frames with both seen and timed, callees included */
	uint64_t order; /* for internal use: number in order of making, the root's is 0 */
};

struct ptf_profile_view {
	struct ptf_arena arena;
	struct ptf_view_node *root;  /* "all", in the arena */
	enum ptf_view_weight weight; /* the one used: ptf_profile_view_weight of the options' */
	uint64_t nodes;              /* root not counted */
};

/* The weight that is drawn when `wanted` is asked for: without timing the weights in ns fall back
 * to instructions. */
enum ptf_view_weight ptf_profile_view_weight(
        const struct ptf_profile *profile, enum ptf_view_weight wanted);

/* "ns", "calls", "instructions". */
const char *ptf_view_weight_unit(enum ptf_view_weight weight);

/* "wall", "on", ...: what --weight takes. */
const char *ptf_view_weight_name(enum ptf_view_weight weight);

/* Makes the view; names in it are owned by the view or by the profile, which must outlive it. Fails
 * only with -PTF_ENOMEM; the view then needs no release. */
int ptf_profile_view_init(struct ptf_profile_view *view, const struct ptf_profile *profile,
        const struct ptf_view_options *options, struct ptf_error *err);
void ptf_profile_view_release(struct ptf_profile_view *view);

/* Depth-first order without recursion, as ptf_call_node_next: the node after `node` in the subtree
 * of `top`, or NULL; *up is the number of levels left before it (0: it is a child of node). */
const struct ptf_view_node *ptf_view_node_next(
        const struct ptf_view_node *top, const struct ptf_view_node *node, unsigned *up);

#endif
