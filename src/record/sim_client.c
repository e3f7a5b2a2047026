/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/sim_client.h"

#define RECEIVE_BYTES (256u << 10)
/* No message is near this: a larger one means that the stream is out of step. */
#define MESSAGE_MAX (256u << 20)

int ptf_sim_client_init(struct ptf_sim_client *client, int fd, struct ptf_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	*client = (struct ptf_sim_client){.fd = fd};
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return ptf_error_set_errno(err, errno, "simulator socket");
	return 0;
}

void ptf_sim_client_release(struct ptf_sim_client *client)
{
	if (client->fd > 0)
		close(client->fd);
	free(client->buffer);
	*client = (struct ptf_sim_client){.fd = -1};
}

/* /tmp is everybody's: a directory that another user made may hold anything. */
static int check_directory(uid_t uid, struct ptf_error *err)
{
	char dir[64];
	struct stat st;

	snprintf(dir, sizeof(dir), PTF_SIM_SOCKET_DIR_FORMAT, (unsigned)uid);
	if (lstat(dir, &st) < 0)
		return ptf_error_set_errno(err, errno, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != uid)
		return ptf_error_set(err, PTF_EPERM, "%s does not belong to user %u: not trusted",
		        dir, (unsigned)uid);
	return 0;
}

static bool has_socket(pid_t pid, uid_t uid)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];

	snprintf(name, sizeof(name), PTF_SIM_SOCKET_FORMAT, (unsigned)uid, (int)pid);
	return access(name, F_OK) == 0;
}

bool ptf_sim_client_find(pid_t pid, uid_t *uid)
{
	if (has_socket(pid, *uid))
		return true;
	if (!has_socket(pid, 0))
		return false;
	*uid = 0;
	return true;
}

int ptf_sim_client_connect(
        struct ptf_sim_client *client, pid_t pid, uid_t uid, struct ptf_error *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd, rc;

	*client = (struct ptf_sim_client){.fd = -1};
	(void)ptf_sim_client_find(pid, &uid);
	rc = check_directory(uid, err);
	if (rc < 0)
		return rc;
	snprintf(at.sun_path, sizeof(at.sun_path), PTF_SIM_SOCKET_FORMAT, (unsigned)uid, (int)pid);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		/* A socket whose process is gone refuses: as good as none. */
		int errnum = errno == ECONNREFUSED ? ENOENT : errno;

		close(fd);
		return ptf_error_set_errno(err, errnum, "%s", at.sun_path);
	}
	return ptf_sim_client_init(client, fd, err);
}

static int send_all(
        struct ptf_sim_client *client, const uint8_t *bytes, size_t size, struct ptf_error *err)
{
	while (size) {
		ssize_t n = send(client->fd, bytes, size, MSG_NOSIGNAL);
		struct pollfd wait = {.fd = client->fd, .events = POLLOUT};

		if (n < 0 && errno == EAGAIN) {
			/* The simulator reads commands at any time: this passes at once. */
			if (poll(&wait, 1, 1000) == 0)
				return ptf_error_set(err, PTF_EIO, "simulator does not read");
			continue;
		}
		if (n < 0 && errno != EINTR)
			return ptf_error_set_errno(err, errno, "simulator socket");
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int ptf_sim_client_send(struct ptf_sim_client *client, enum ptf_sim_message type, const void *body,
        size_t size, struct ptf_error *err)
{
	uint8_t message[sizeof(struct ptf_sim_header) + 64];
	struct ptf_sim_header header = {.type = type, .size = (uint32_t)size};

	if (size > sizeof(message) - sizeof(header))
		return ptf_error_set(err, PTF_EINVAL, "message of %zu bytes", size);
	memcpy(message, &header, sizeof(header));
	if (size)
		memcpy(message + sizeof(header), body, size);
	return send_all(client, message, sizeof(header) + size, err);
}

/* Bytes that the buffer must be able to hold: a whole message when its header is known. */
static size_t wanted(const struct ptf_sim_client *client)
{
	struct ptf_sim_header header = {0};
	size_t have = client->end - client->begin;

	if (have >= sizeof(header))
		memcpy(&header, client->buffer + client->begin, sizeof(header));
	return RECEIVE_BYTES + sizeof(header) + header.size;
}

static int make_room(struct ptf_sim_client *client, struct ptf_error *err)
{
	size_t need = wanted(client);
	uint8_t *bigger;

	if (client->begin) {
		memmove(client->buffer, client->buffer + client->begin,
		        client->end - client->begin);
		client->end -= client->begin;
		client->begin = 0;
	}
	if (client->cap >= need)
		return 0;
	bigger = realloc(client->buffer, need);
	if (!bigger)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory for a simulator message");
	client->buffer = bigger;
	client->cap = need;
	return 0;
}

int ptf_sim_client_receive(struct ptf_sim_client *client, bool *any, struct ptf_error *err)
{
	ssize_t n;

	*any = false;
	if (client->eof || client->fd < 0)
		return 0;
	if (make_room(client, err) < 0)
		return -PTF_ENOMEM;
	do {
		n = recv(client->fd, client->buffer + client->end, client->cap - client->end, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	/* A killed process resets the connection: the end all the same. */
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		client->eof = true;
		return 0;
	}
	if (n < 0)
		return ptf_error_set_errno(err, errno, "simulator socket");
	client->end += (size_t)n;
	*any = true;
	return 0;
}

int ptf_sim_client_next(
        struct ptf_sim_client *client, struct ptf_sim_msg *msg, struct ptf_error *err)
{
	size_t have = client->end - client->begin;
	struct ptf_sim_header header;

	if (have < sizeof(header))
		return 1;
	memcpy(&header, client->buffer + client->begin, sizeof(header));
	if (header.size > MESSAGE_MAX)
		return ptf_error_set(err, PTF_EFORMAT, "simulator message of type %u has %u bytes",
		        header.type, header.size);
	if (have - sizeof(header) < header.size)
		return 1;
	msg->type = header.type;
	msg->size = header.size;
	msg->body = client->buffer + client->begin + sizeof(header);
	client->begin += sizeof(header) + header.size;
	return 0;
}

bool ptf_sim_msg_get(const struct ptf_sim_msg *msg, void *out, size_t size, const uint8_t **tail)
{
	if (msg->size < size)
		return false;
	memcpy(out, msg->body, size);
	if (tail)
		*tail = msg->body + size;
	return true;
}

const char *ptf_sim_msg_string(const struct ptf_sim_msg *msg, size_t size)
{
	if (msg->size <= size || msg->body[msg->size - 1] != '\0')
		return "";
	return (const char *)msg->body + size;
}
