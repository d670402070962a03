/* Answer argv[1] user notifications: a child makes that many calls of getppid, which its filter
 * hands to its parent; seccomp_unotify(2). Waits for the end of standard input first.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER = 4711 };

static int install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		       &filter);
}

static void child(long calls, int told)
{
	int listener = install();
	int wrong = listener < 0;

	if (write(told, &listener, sizeof(listener)) != sizeof(listener))
		wrong++;
	while (!wrong && calls-- > 0)
		wrong += syscall(SYS_getppid) != ANSWER;
	_exit(wrong);
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 1;
	int ends[2], listener, status;
	char byte;
	pid_t pid;

	while (read(0, &byte, 1) > 0)
		;
	if (pipe(ends))
		return 2;
	/* The descriptors are shared: the child's listener is the parent's. */
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		child(calls, ends[1]);
	if (pid < 0 || read(ends[0], &listener, sizeof(listener)) != sizeof(listener))
		return 2;
	for (long i = 0; i < calls; i++) {
		struct seccomp_notif asked;
		struct seccomp_notif_resp answer;

		memset(&asked, 0, sizeof(asked));
		memset(&answer, 0, sizeof(answer));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked))
			return 2;
		answer.id = asked.id;
		answer.val = ANSWER;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer))
			return 2;
	}
	if (waitpid(pid, &status, 0) != pid)
		return 2;
	return status != 0;
}
