/* What a tracer written in C pays: reference_loop MODE NUMBER COMMAND...
 *
 * COMMAND runs under a filter that selects the x86_64 call NUMBER; the loop answers it and nothing
 * else. MODE is count, observe (a record of 128 bytes is written to a ring), skipexit (its arguments
 * are read), skipcall, both (stops), or judge (its path is read, and it is skipped if that begins with
 * /secret/). Only the requests that each answer needs are made. MODE syscall does what both does
 * without a filter: PTRACE_SYSCALL stops at every call, twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RET_DATA 0x100
#define SKIPPED_RESULT 4242

enum mode { COUNT, OBSERVE, SKIPEXIT, SKIPCALL, BOTH, JUDGE, SYSCALL };

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(2);
	}
}

static void run(long number, enum mode mode, char **command)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | RET_DATA),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	raise(SIGSTOP);
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	if (mode != SYSCALL)
		check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

static volatile unsigned long counted, errors;

/* What the loop of accel records of a call: accel/records.py. */
static struct record {
	int64_t entered_ns, left_ns;
	int32_t tid, pid, number;
	uint8_t abi, unused;
	uint16_t rule;
	uint64_t arguments[6];
	int64_t result;
	uint64_t strings;
	uint16_t flags, string_sizes[3];
	uint64_t instruction_pointer, stack_pointer, strings_end;
} ring[1 << 16];

static void record(pid_t tid, const struct __ptrace_syscall_info *info)
{
	struct record *one = &ring[counted % (sizeof(ring) / sizeof(*ring))];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	*one = (struct record) {
		.entered_ns = now.tv_sec * 1000000000LL + now.tv_nsec,
		.tid = tid,
		.pid = tid,
		.number = info->seccomp.nr,
		.instruction_pointer = info->instruction_pointer,
		.stack_pointer = info->stack_pointer,
	};
	memcpy(one->arguments, info->seccomp.args, sizeof(one->arguments));
}

/* Tell whether the second argument is a path below /secret. */
static int is_secret(pid_t tid, const struct __ptrace_syscall_info *info)
{
	static const char prefix[] = "/secret/";
	char path[256];
	struct iovec local = { path, sizeof(path) };
	struct iovec remote = { (void *)info->seccomp.args[1], sizeof(path) };
	unsigned long left = 4096 - (info->seccomp.args[1] & 4095);

	if (remote.iov_len > left)
		remote.iov_len = left;
	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) < (long)sizeof(prefix))
		return 0;
	return memcmp(path, prefix, sizeof(prefix) - 1) == 0;
}

static int answer(pid_t tid, int status, enum mode mode)
{
	struct __ptrace_syscall_info info;
	struct user_regs_struct registers;
	unsigned long message;

	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
		counted++;
		switch (mode) {
		case COUNT:
		case BOTH:
			ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
			break;
		case OBSERVE:
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
			record(tid, &info);
			break;
		case SKIPEXIT:
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
			break;
		case SYSCALL:
			break;
		case JUDGE:
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
			if (!is_secret(tid, &info))
				break;
			/* fall through */
		case SKIPCALL:
			ptrace(PTRACE_GETREGS, tid, 0, &registers);
			registers.orig_rax = -1;
			registers.rax = SKIPPED_RESULT;
			ptrace(PTRACE_SETREGS, tid, 0, &registers);
		}
		return ptrace(mode == BOTH ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, 0);
	}
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
		errors += info.exit.is_error;
		return ptrace(PTRACE_CONT, tid, 0, 0);
	}
	if (status >> 16)
		return ptrace(PTRACE_CONT, tid, 0, 0);
	return ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status));
}

/* Without a filter: the number is read at each entry, the rest of selected calls only. */
static int answer_any(pid_t tid, int status, long number)
{
	static int is_inside, is_selected;
	struct __ptrace_syscall_info info;
	int signal = status >> 16 ? 0 : WSTOPSIG(status);

	if (signal == (SIGTRAP | 0x80)) {
		signal = 0;
		is_inside = !is_inside;
		if (is_inside || is_selected)
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
		if (is_inside) {
			is_selected = info.entry.nr == (uint64_t)number;
			counted += is_selected;
		} else if (is_selected) {
			errors += info.exit.is_error;
		}
	}
	return ptrace(PTRACE_SYSCALL, tid, 0, signal);
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {
		"count", "observe", "skipexit", "skipcall", "both", "judge", "syscall",
	};
	enum mode mode = COUNT;
	int status;

	if (argc < 4)
		return 2;
	while (strcmp(argv[1], modes[mode]))
		if (++mode > SYSCALL)
			return 2;
	long number = atol(argv[2]);
	pid_t child = fork();
	check(child, "fork");
	if (child == 0)
		run(number, mode, argv + 3);
	check(waitpid(child, &status, WUNTRACED), "waitpid");
	check(ptrace(PTRACE_SEIZE, child, 0,
		     PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL),
	      "PTRACE_SEIZE");
	kill(child, SIGCONT);
	for (;;) {
		pid_t tid = wait4(-1, &status, __WALL | __WNOTHREAD, NULL);
		if (tid < 0 && errno == EINTR)
			continue;
		check(tid, "wait4");
		if (!WIFSTOPPED(status))
			break;
		if (mode == SYSCALL)
			answer_any(tid, status, number);
		else
			answer(tid, status, mode);
	}
	if (WIFSIGNALED(status)) {
		raise(WTERMSIG(status));
		return 2;
	}
	return WEXITSTATUS(status);
}
