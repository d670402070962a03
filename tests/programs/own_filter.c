/* Install a seccomp filter of one's own for getppid, then call it, and print what it returned:
 *
 *   errno     SECCOMP_RET_ERRNO with EUSERS
 *   trace     SECCOMP_RET_TRACE, which without a tracer means ENOSYS
 *   allow     SECCOMP_RET_ALLOW
 *   argument  SECCOMP_RET_ERRNO only if the first argument is 7: called with 6, then with 7
 *   listener  a user notification that a thread of the program answers with 4711
 *   threads   SECCOMP_RET_ERRNO for all threads, by TSYNC: called by a thread that was there before
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int install(unsigned action, unsigned flags, int only_argument)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 4),
		BPF_JUMP(BPF_JMP | BPF_JA, only_argument ? 0 : 2, 0, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void call(long argument)
{
	long result = syscall(SYS_getppid, argument);

	if (result == 4711)
		printf("answer\n");
	else
		printf("%s\n", result < 0 ? strerrorname_np(errno) : "parent");
	fflush(stdout);
}

static void *answer(void *listener)
{
	struct seccomp_notif request = {0};
	struct seccomp_notif_resp response = {0};

	ioctl(*(int *)listener, SECCOMP_IOCTL_NOTIF_RECV, &request);
	response.id = request.id;
	response.val = 4711;
	ioctl(*(int *)listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	return NULL;
}

static pthread_barrier_t installed;

static void *call_later(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&installed);
	call(0);
	return NULL;
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "";
	pthread_t thread;
	int listener;

	if (strcmp(way, "errno") == 0) {
		install(SECCOMP_RET_ERRNO | EUSERS, 0, 0);
	} else if (strcmp(way, "trace") == 0) {
		install(SECCOMP_RET_TRACE | 7, 0, 0);
	} else if (strcmp(way, "allow") == 0) {
		install(SECCOMP_RET_ALLOW, 0, 0);
	} else if (strcmp(way, "argument") == 0) {
		install(SECCOMP_RET_ERRNO | EUSERS, 0, 1);
		call(6);
		call(7);
		return 0;
	} else if (strcmp(way, "listener") == 0) {
		listener = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0);
		if (listener < 0)
			return 1;
		pthread_create(&thread, NULL, answer, &listener);
		call(0);
		pthread_join(thread, NULL);
		return 0;
	} else if (strcmp(way, "threads") == 0) {
		pthread_barrier_init(&installed, NULL, 2);
		pthread_create(&thread, NULL, call_later, NULL);
		if (install(SECCOMP_RET_ERRNO | EUSERS, SECCOMP_FILTER_FLAG_TSYNC, 0) != 0)
			return 1;
		pthread_barrier_wait(&installed);
		pthread_join(thread, NULL);
		return 0;
	} else {
		return 2;
	}
	call(0);
	return 0;
}
