/* Execute a program from a thread that is not the leader, while the leader and three more threads
 * wait: the thread takes the leader's tid and all others vanish, execve(2) under ptrace(2).
 *
 * With an argument: executes itself; the second image prints whether it still is the process that
 * the first one was, then makes one more call that a tracer may select (getppid).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAITING = 3 };

static pthread_barrier_t all_wait;
static char *self;

static void *wait_forever(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&all_wait);
	while (pause())
		;
	return NULL;
}

static void *execute(void *unused)
{
	char pid[16];

	(void)unused;
	pthread_barrier_wait(&all_wait);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	execl(self, self, "again", pid, (char *)NULL);
	perror("execl");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 2 && strcmp(argv[1], "again") == 0) {
		long parent = syscall(SYS_getppid);

		printf("same process: %s\n", atoi(argv[2]) == (int)getpid() ? "yes" : "no");
		printf("leader: %s\n", syscall(SYS_gettid) == getpid() ? "yes" : "no");
		return parent > 0 ? 7 : 1;
	}
	self = argv[0];
	pthread_barrier_init(&all_wait, NULL, WAITING + 1);
	for (int i = 0; i < WAITING; i++)
		pthread_create(&thread, NULL, wait_forever, NULL);
	pthread_create(&thread, NULL, execute, NULL);
	pthread_join(thread, NULL);
	return 1;
}
