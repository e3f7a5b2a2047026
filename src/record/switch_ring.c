/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/reader.h"
#include "record/switch_ring.h"

/* 64 kB hold about 1600 switches; the smaller size is for tight mlock limits. */
#define RING_PAGES 16u
#define RING_PAGES_SMALL 1u
#define RECORD_MAX 256u

static struct perf_event_attr switch_attr(size_t ring_bytes)
{
	return (struct perf_event_attr){
	        .type = PERF_TYPE_SOFTWARE,
	        .size = sizeof(struct perf_event_attr),
	        .config = PERF_COUNT_SW_DUMMY,
	        .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU,
	        .sample_id_all = 1,
	        .context_switch = 1,
	        .exclude_kernel = 1, /* what perf_event_paranoid 2 allows to everybody */
	        .use_clockid = 1,
	        .clockid = CLOCK_MONOTONIC,
	        .watermark = 1,
	        .wakeup_watermark = (uint32_t)ring_bytes / 2,
	};
}

static int open_error(struct ptf_error *err, pid_t tid, int errnum)
{
	if (errnum == EACCES || errnum == EPERM)
		return ptf_error_set(err, PTF_EPERM, "perf_event_open of thread %d: %s", (int)tid,
		        strerror(errnum));
	if (errnum == ESRCH)
		return ptf_error_set(err, PTF_ENOENT, "thread %d is gone", (int)tid);
	if (errnum == ENOSYS || errnum == EINVAL || errnum == ENODEV || errnum == EOPNOTSUPP)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "the kernel has no context switch events: %s", strerror(errnum));
	return ptf_error_set_errno(err, errnum, "perf_event_open of thread %d", (int)tid);
}

static int map_ring(struct ptf_switch_ring *ring, pid_t tid, size_t pages, struct ptf_error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct perf_event_attr attr = switch_attr(pages * page);
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	void *map;

	if (fd < 0)
		return open_error(err, tid, errno);
	map = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int errnum = errno;

		close(fd);
		return ptf_error_set_errno(err, errnum,
		        "ring buffer for thread %d (perf_event_mlock_kb, ulimit -l)", (int)tid);
	}
	*ring = (struct ptf_switch_ring){.fd = fd, .map = map, .size = pages * page};
	return 0;
}

int ptf_switch_ring_init(struct ptf_switch_ring *ring, pid_t tid, struct ptf_error *err)
{
	*ring = (struct ptf_switch_ring){.fd = -1};
	if (map_ring(ring, tid, RING_PAGES, NULL) == 0)
		return 0;
	return map_ring(ring, tid, RING_PAGES_SMALL, err);
}

void ptf_switch_ring_release(struct ptf_switch_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->size + (size_t)sysconf(_SC_PAGESIZE));
	if (ring->map && ring->fd >= 0)
		close(ring->fd);
	*ring = (struct ptf_switch_ring){.fd = -1};
}

/* Copies out of the ring, which wraps. */
static void ring_copy(const struct ptf_switch_ring *ring, uint64_t at, void *out, size_t size)
{
	const uint8_t *data = (const uint8_t *)ring->map + sysconf(_SC_PAGESIZE);
	size_t from = at & (ring->size - 1);
	size_t first = size < ring->size - from ? size : ring->size - from;

	memcpy(out, data + from, first);
	memcpy((uint8_t *)out + first, data, size - first);
}

/* SWITCH and LOST end with the sample_id of switch_attr: pid, tid, time, cpu, reserved. */
static bool parse(
        const struct perf_event_header *header, struct ptf_reader *body, struct ptf_switch *out)
{
	*out = (struct ptf_switch){0};
	if (header->type == PERF_RECORD_LOST) {
		ptf_reader_u64(body);
		out->lost = ptf_reader_u64(body);
	} else if (header->type != PERF_RECORD_SWITCH) {
		return false;
	}
	ptf_reader_u64(body);
	out->time_ns = ptf_reader_u64(body);
	out->cpu = (int32_t)ptf_reader_u32(body);
	out->out = header->misc & PERF_RECORD_MISC_SWITCH_OUT;
	out->preempt = header->misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
	return !body->failed;
}

int ptf_switch_ring_next(struct ptf_switch_ring *ring, struct ptf_switch *out)
{
	struct perf_event_mmap_page *control = ring->map;
	struct perf_event_header header;
	uint8_t body[RECORD_MAX];
	bool found = false;

	while (control && !found) {
		uint64_t head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
		uint64_t tail = control->data_tail;
		struct ptf_reader reader;
		size_t size;

		if (head - tail < sizeof(header))
			return 1;
		ring_copy(ring, tail, &header, sizeof(header));
		size = header.size < sizeof(header) ? sizeof(header) : header.size;
		if (size - sizeof(header) <= sizeof(body)) {
			ring_copy(ring, tail + sizeof(header), body, size - sizeof(header));
			reader = ptf_reader_make(body, size - sizeof(header));
			found = parse(&header, &reader, out);
		}
		__atomic_store_n(&control->data_tail, tail + size, __ATOMIC_RELEASE);
	}
	return found ? 0 : 1;
}
