/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_map.h"

static int map_fd(struct ptf_file_map *map, int fd, const char *path, struct ptf_error *err)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return ptf_error_set(err, PTF_EINVAL, "%s: not a regular file", path);
	if (st.st_size == 0) {
		*map = (struct ptf_file_map){0};
		return 0;
	}
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return ptf_error_set_errno(err, errno, "%s: cannot map", path);
	*map = (struct ptf_file_map){.bytes = at, .size = (size_t)st.st_size};
	return 0;
}

int ptf_file_map_init(struct ptf_file_map *map, const char *path, struct ptf_error *err)
{
	/* A FIFO of that name must not hold us up: it is refused. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc;

	*map = (struct ptf_file_map){0};
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	rc = map_fd(map, fd, path, err);
	close(fd);
	return rc;
}

void ptf_file_map_release(struct ptf_file_map *map)
{
	if (map->bytes)
		munmap((void *)map->bytes, map->size);
	*map = (struct ptf_file_map){0};
}
