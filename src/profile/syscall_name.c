/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "profile/syscall_name.h"

/* System calls of Linux 6.7, sorted (asm/unistd_64.h; the build machine's may be older). */
/* clang-format off */
static const char *const known_calls[] = {
	"_sysctl", "accept", "accept4", "access", "acct", "add_key", "adjtimex", "afs_syscall",
	"alarm", "arch_prctl", "bind", "bpf", "brk", "cachestat", "capget", "capset", "chdir",
	"chmod", "chown", "chroot", "clock_adjtime", "clock_getres", "clock_gettime",
	"clock_nanosleep", "clock_settime", "clone", "clone3", "close", "close_range",
	"connect", "copy_file_range", "creat", "create_module", "delete_module", "dup", "dup2",
	"dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve",
	"execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate",
	"fanotify_init", "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2",
	"fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "finit_module", "flistxattr",
	"flock", "fork", "fremovexattr", "fsconfig", "fsetxattr", "fsmount", "fsopen",
	"fspick", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_requeue",
	"futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_kernel_syms",
	"get_mempolicy", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents",
	"getdents64", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpeername",
	"getpgid", "getpgrp", "getpid", "getpmsg", "getppid", "getpriority", "getrandom",
	"getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "getsockname",
	"getsockopt", "gettid", "gettimeofday", "getuid", "getxattr", "init_module",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel",
	"io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	"io_uring_enter", "io_uring_register", "io_uring_setup", "ioctl", "ioperm", "iopl",
	"ioprio_get", "ioprio_set", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "kill",
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown",
	"lgetxattr", "link", "linkat", "listen", "listxattr", "llistxattr", "lookup_dcookie",
	"lremovexattr", "lseek", "lsetxattr", "lstat", "madvise", "map_shadow_stack", "mbind",
	"membarrier", "memfd_create", "memfd_secret", "migrate_pages", "mincore", "mkdir",
	"mkdirat", "mknod", "mknodat", "mlock", "mlock2", "mlockall", "mmap", "modify_ldt",
	"mount", "mount_setattr", "move_mount", "move_pages", "mprotect", "mq_getsetattr",
	"mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap",
	"msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap",
	"name_to_handle_at", "nanosleep", "newfstatat", "nfsservctl", "open",
	"open_by_handle_at", "open_tree", "openat", "openat2", "pause", "perf_event_open",
	"personality", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2",
	"pivot_root", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "prctl",
	"pread64", "preadv", "preadv2", "prlimit64", "process_madvise", "process_mrelease",
	"process_vm_readv", "process_vm_writev", "pselect6", "ptrace", "putpmsg", "pwrite64",
	"pwritev", "pwritev2", "query_module", "quotactl", "quotactl_fd", "read", "readahead",
	"readlink", "readlinkat", "readv", "reboot", "recvfrom", "recvmmsg", "recvmsg",
	"remap_file_pages", "removexattr", "rename", "renameat", "renameat2", "request_key",
	"restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
	"sched_setscheduler", "sched_yield", "seccomp", "security", "select", "semctl",
	"semget", "semop", "semtimedop", "sendfile", "sendmmsg", "sendmsg", "sendto",
	"set_mempolicy", "set_mempolicy_home_node", "set_robust_list", "set_thread_area",
	"set_tid_address", "setdomainname", "setfsgid", "setfsuid", "setgid", "setgroups",
	"sethostname", "setitimer", "setns", "setpgid", "setpriority", "setregid", "setresgid",
	"setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "settimeofday", "setuid",
	"setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack",
	"signalfd", "signalfd4", "socket", "socketpair", "splice", "stat", "statfs", "statx",
	"swapoff", "swapon", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs",
	"sysfs", "sysinfo", "syslog", "tee", "tgkill", "time", "timer_create", "timer_delete",
	"timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
	"timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "tuxcall", "umask",
	"umount2", "uname", "unlink", "unlinkat", "unshare", "uselib", "userfaultfd", "ustat",
	"utime", "utimensat", "utimes", "vfork", "vhangup", "vmsplice", "vserver", "wait4",
	"waitid", "write", "writev",};
/* clang-format on */

/* Wrappers of another name than their call. A name that ends in '*' is a prefix. */
static const struct {
	const char *wrapper, *call;
} aliases[] = {
        {"lll_lock_*", "futex"},
        {"futex_*", "futex"},
        {"pthread_barrier_*", "futex"},
        {"pthread_cond_*", "futex"},
        {"pthread_mutex_*", "futex"},
        {"pthread_rwlock_*", "futex"},
        {"pthread_join*", "futex"},
        {"pthread_clockjoin*", "futex"},
        {"pthread_timedjoin*", "futex"},
        {"do_futex_wait*", "futex"},
        {"new_sem_*", "futex"},
        {"sem_*", "futex"},
        {"pread", "pread64"},
        {"pwrite", "pwrite64"},
        {"recv", "recvfrom"},
        {"send", "sendto"},
        {"sigaction", "rt_sigaction"},
        {"sigprocmask", "rt_sigprocmask"},
        {"sigsuspend", "rt_sigsuspend"},
        {"sigtimedwait", "rt_sigtimedwait"},
        {"pthread_sigmask", "rt_sigprocmask"},
        {"syscall", "syscall"},
        {"waitpid", "wait4"},
};

static const char *const libc_modules[] = {
        "libc.so", "libc-2", "libc.musl-", "libpthread", "librt", "ld-linux", "ld-musl-", "ld-2"};

static int compare_names(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool is_known(const char *name)
{
	return bsearch(name, known_calls, sizeof(known_calls) / sizeof(*known_calls),
	               sizeof(*known_calls), compare_names) != NULL;
}

static bool matches(const char *pattern, const char *name)
{
	size_t len = strcspn(pattern, "*");

	return pattern[len] ? !strncmp(pattern, name, len) : !strcmp(pattern, name);
}

static const char *find_alias(const char *name)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(*aliases); i++) {
		if (matches(aliases[i].wrapper, name))
			return aliases[i].call;
	}
	return NULL;
}

static bool is_libc(const char *module)
{
	const char *slash = strrchr(module, '/');
	const char *base = slash ? slash + 1 : module;

	for (size_t i = 0; i < sizeof(libc_modules) / sizeof(*libc_modules); i++) {
		if (!strncmp(base, libc_modules[i], strlen(libc_modules[i])))
			return true;
	}
	return false;
}

/* Whether text[0..len) ends in `end`; if so, len without it. */
static bool drop_end(const char *text, size_t *len, const char *end)
{
	size_t n = strlen(end);

	if (*len <= n || memcmp(text + *len - n, end, n) != 0)
		return false;
	*len -= n;
	return true;
}

/* Drops the suffixes that compilers give to clones and parts of a function: .constprop.0, .cold. */
static size_t without_clone_suffix(const char *symbol, size_t len)
{
	static const char *const words[] = {".constprop", ".isra", ".part", ".cold", ".lto_priv"};
	size_t before, end;

	do {
		before = end = len;
		while (end > 1 && isdigit((unsigned char)symbol[end - 1]))
			end--;
		if (end < len && end > 1 && symbol[end - 1] == '.')
			len = end - 1;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			drop_end(symbol, &len, words[i]);
	} while (len != before);
	return len;
}

/* The last part of a qualified name (runtime.futex, io::sys::read). */
static const char *last_part(const char *symbol, size_t *len)
{
	size_t at = *len;

	while (at > 0 && symbol[at - 1] != '.' && symbol[at - 1] != ':')
		at--;
	*len -= at;
	return symbol + at;
}

static const char *without_prefixes(const char *symbol, size_t *len)
{
	static const char *const prefixes[] = {"_", "GI_", "libc_", "vdso_", "kernel_", "old_"};
	size_t i = 0;

	while (i < sizeof(prefixes) / sizeof(*prefixes)) {
		size_t n = strlen(prefixes[i]);

		if (*len < n || memcmp(symbol, prefixes[i], n) != 0) {
			i++;
			continue;
		}
		symbol += n;
		*len -= n;
		i = 0;
	}
	return symbol;
}

/* The symbol without decoration, in `name`; false when that is too long or no identifier. */
static bool plain_name(const char *symbol, char name[PTF_SYSCALL_NAME_SIZE])
{
	size_t len = without_clone_suffix(symbol, strcspn(symbol, "@"));

	symbol = last_part(symbol, &len);
	symbol = without_prefixes(symbol, &len);
	while (drop_end(symbol, &len, "_nocancel") || drop_end(symbol, &len, "_chk"))
		;
	if (len == 0 || len >= PTF_SYSCALL_NAME_SIZE || isdigit((unsigned char)symbol[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)symbol[i]) && symbol[i] != '_')
			return false;
	}
	memcpy(name, symbol, len);
	name[len] = 0;
	return true;
}

bool ptf_syscall_name(const struct ptf_function *function, char name[PTF_SYSCALL_NAME_SIZE])
{
	char shorter[PTF_SYSCALL_NAME_SIZE];
	const char *alias;
	size_t len;

	if (!function || function->kind == PTF_FUNCTION_UNKNOWN ||
	        (!function->raw_name && function->kind != PTF_FUNCTION_TEXT))
		return false;
	if (!plain_name(function->name, name))
		return false;
	if (is_known(name))
		return true;
	alias = find_alias(name);
	if (alias) {
		strcpy(name, alias);
		return true;
	}
	strcpy(shorter, name);
	len = strlen(shorter);
	if (drop_end(shorter, &len, "64")) { /* open64 */
		shorter[len] = 0;
		if (is_known(shorter)) {
			strcpy(name, shorter);
			return true;
		}
	}
	return is_libc(function->module);
}
