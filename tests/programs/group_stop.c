/* Stop and continue a child of two threads, argv[1] times, and print how often it was really frozen
 * while it was stopped and ran on afterwards. Both threads make getppid calls and count them in
 * memory that the parent sees.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { YIELDS = 200 };

static atomic_long *progress;

static void *work(void *unused)
{
	(void)unused;
	for (;;) {
		syscall(SYS_getppid);
		atomic_fetch_add(progress, 1);
	}
	return NULL;
}

/* Wait for progress beyond what was made: proof that the child runs. */
static void until_beyond(long made)
{
	while (atomic_load(progress) <= made)
		sched_yield();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20, stopped = 0, frozen = 0, continued = 0, status;
	pthread_t thread;
	pid_t child;

	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	child = fork();
	if (child == 0) {
		/* In a group of its own, whose parent is in another: SIGTSTP stops no orphaned group. */
		setpgid(0, 0);
		pthread_create(&thread, NULL, work, NULL);
		work(NULL);
	}
	for (int i = 0; i < rounds; i++) {
		long before;

		until_beyond(atomic_load(progress) + 10);
		kill(child, i % 2 ? SIGSTOP : SIGTSTP);
		if (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status))
			stopped += WSTOPSIG(status) == (i % 2 ? SIGSTOP : SIGTSTP);
		before = atomic_load(progress);
		for (int yield = 0; yield < YIELDS; yield++)
			sched_yield();
		frozen += atomic_load(progress) == before;
		kill(child, SIGCONT);
		if (waitpid(child, &status, WCONTINUED) == child)
			continued += WIFCONTINUED(status) != 0;
		until_beyond(before);
	}
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	printf("stopped %d frozen %d continued %d, ended by %d\n", stopped, frozen, continued,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return 0;
}
