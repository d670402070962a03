/* What a tracer written in C pays: reference_loop MODE NUMBER COMMAND...
 *
 * COMMAND runs under a filter that selects the x86_64 call NUMBER; the loop answers it and nothing
 * else. MODE is count, skipexit (its arguments are read), skipcall or both (stops). Only the
 * requests that each answer needs are made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define RET_DATA 0x100
#define SKIPPED_RESULT 4242

enum mode { COUNT, SKIPEXIT, SKIPCALL, BOTH };

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(2);
	}
}

static void run(long number, char **command)
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
	check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

static volatile unsigned long counted, errors;

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
		case SKIPEXIT:
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
			break;
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

int main(int argc, char **argv)
{
	static const char *const modes[] = { "count", "skipexit", "skipcall", "both" };
	enum mode mode = COUNT;
	int status;

	if (argc < 4)
		return 2;
	while (strcmp(argv[1], modes[mode]))
		if (++mode > BOTH)
			return 2;
	pid_t child = fork();
	check(child, "fork");
	if (child == 0)
		run(atol(argv[2]), argv + 3);
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
		answer(tid, status, mode);
	}
	if (WIFSIGNALED(status)) {
		raise(WTERMSIG(status));
		return 2;
	}
	return WEXITSTATUS(status);
}
