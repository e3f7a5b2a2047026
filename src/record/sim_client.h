/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to the PT simulator inside a simulated process: finding its socket, framing of
 * messages in both directions (include/ptflame/sim_protocol.h). Never blocks except in `send`,
 * whose messages are a few bytes.
 */
#ifndef PTF_SIM_CLIENT_H
#define PTF_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>
#include <ptflame/sim_protocol.h>

struct ptf_sim_client {
	int fd;            /* owned socket, -1 when closed */
	uint8_t *buffer;   /* owned, received bytes */
	size_t cap;        /* bytes allocated */
	size_t begin, end; /* bytes not handed out yet: buffer[begin..end) */
	bool eof;          /* the process closed its end; messages may still be buffered */
};

struct ptf_sim_msg {
	uint32_t type;       /* enum ptf_sim_message, or a number that we do not know */
	size_t size;         /* bytes of body */
	const uint8_t *body; /* borrowed, valid until the next receive; not aligned */
};

/* Takes over a connected socket and makes it non-blocking. */
int ptf_sim_client_init(struct ptf_sim_client *client, int fd, struct ptf_error *err);
void ptf_sim_client_release(struct ptf_sim_client *client);

/* Is there a socket of the process, in the directory of the user *uid that it runs as or in that of
 * root (a server that began as root and gave that up)? *uid becomes the directory's owner. */
bool ptf_sim_client_find(pid_t pid, uid_t *uid);

/* Connects to the simulator of a process that runs as uid. Errors: PTF_ENOENT when there is no
 * socket (not simulated, or not yet); PTF_EPERM when it belongs to somebody else. */
int ptf_sim_client_connect(
        struct ptf_sim_client *client, pid_t pid, uid_t uid, struct ptf_error *err);

/* Sends a message. Errors: PTF_EIO when the process is gone. */
int ptf_sim_client_send(struct ptf_sim_client *client, enum ptf_sim_message type, const void *body,
        size_t size, struct ptf_error *err);

/* Reads once what has arrived; *any tells whether bytes came (false: nothing there, or eof). */
int ptf_sim_client_receive(struct ptf_sim_client *client, bool *any, struct ptf_error *err);

/* The next whole message: 0, or 1 when more bytes must be received; <0: the stream is broken. */
int ptf_sim_client_next(
        struct ptf_sim_client *client, struct ptf_sim_msg *msg, struct ptf_error *err);

/* The fixed part of a body: copies `size` bytes to out, false when the body is shorter. *tail (may
 * be NULL) gets what follows; its size is msg->size - size. */
bool ptf_sim_msg_get(const struct ptf_sim_msg *msg, void *out, size_t size, const uint8_t **tail);

/* The terminated string behind a fixed part of `size` bytes; "" when it is missing or broken. */
const char *ptf_sim_msg_string(const struct ptf_sim_msg *msg, size_t size);

#endif
