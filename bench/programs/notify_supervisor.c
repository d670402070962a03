/* What a supervisor written in C pays: notify_supervisor MODE NUMBER THREADS COMMAND...
 *
 * COMMAND runs under a filter that lets the x86_64 call NUMBER notify; the threads answer it and
 * nothing else: seccomp_unotify(2). MODE is skip (it returns a constant), continue (it runs), or how
 * many turns answer_to takes with its first argument (it returns that). The threads do what makes
 * this fast: SYNC_WAKE_UP and, if there are several, each on a CPU of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answer.h"

#define SKIPPED_RESULT 4242
/* <linux/seccomp.h>, where libc's headers are older than the kernel. */
#define WAIT_KILLABLE_RECV (1UL << 5)
#define SET_FLAGS _IOW('!', 4, unsigned long)
#define SYNC_WAKE_UP 1UL

enum { MOST = 64 };

static int listener, skips;
static long turns;

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(2);
	}
}

/* Shares the descriptors of its parent until it executes: the listener is one of both. */
static void run(long number, char **command, volatile int *shared)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV;

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	*shared = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	check(*shared, "SECCOMP_FILTER_FLAG_NEW_LISTENER");
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

static int has_ended(void)
{
	struct pollfd one = { .fd = listener };

	return poll(&one, 1, 0) == 1 && one.revents & POLLHUP;
}

static void *supervise(void *cpu)
{
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	cpu_set_t set;

	if ((long)cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((long)cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	for (;;) {
		memset(&request, 0, sizeof(request));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) {
			if (errno == ENOENT && has_ended())
				return NULL;
			continue;
		}
		memset(&response, 0, sizeof(response));
		response.id = request.id;
		if (turns)
			response.val = answer_to(request.data.args[0], turns);
		else if (skips)
			response.val = SKIPPED_RESULT;
		else
			response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
}

int main(int argc, char **argv)
{
	long count = argc > 4 ? atol(argv[3]) : 0;
	volatile int *shared;
	pthread_t threads[MOST];
	pid_t child;
	int status;

	if (count < 1 || count > MOST)
		return 2;
	skips = !strcmp(argv[1], "skip");
	turns = atol(argv[1]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared == MAP_FAILED ? -1 : 0, "mmap");
	*shared = -1;
	child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	check(child, "clone");
	if (child == 0)
		run(atol(argv[2]), argv + 4, shared);
	while (*shared < 0)
		sched_yield();
	listener = *shared;
	check(ioctl(listener, SET_FLAGS, SYNC_WAKE_UP), "SECCOMP_IOCTL_NOTIF_SET_FLAGS");
	for (long i = 0; i < count; i++)
		check(-pthread_create(&threads[i], NULL, supervise, (void *)(count > 1 ? i : -1)),
		      "pthread_create");
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
