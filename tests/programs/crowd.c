/* A crowd to kill: three processes of three threads each, all busy, and short-lived grandchildren;
 * in a process group of its own. Every member prints its pid on a line when it begins, the first
 * one before all others. Left alone, or with any of its members killed, all of it ends by itself.
 *
 * Each thread makes argv[1] rounds of getppid, openat and close; every eighth forks, or vforks a
 * child that executes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 3 };

static int rounds;

static void tell(void)
{
	char line[16];
	int length = snprintf(line, sizeof line, "%d\n", (int)getpid());

	/* One write for each line: lines of several processes do not mix. */
	if (write(STDOUT_FILENO, line, (size_t)length) != length)
		_exit(1);
}

static void make_grandchild(int in_turn)
{
	pid_t child = in_turn ? vfork() : fork();

	if (child == 0) {
		if (in_turn)
			execl("/bin/true", "true", (char *)NULL);
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static void *work(void *number)
{
	for (int i = 0; i < rounds; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		syscall(SYS_getppid);
		if (i % 8 == 7)
			make_grandchild((i / 8 + (number != NULL)) % 2);
		close(fd);
	}
	return NULL;
}

static void be_a_member(void)
{
	pthread_t threads[THREADS - 1];

	for (int i = 0; i < THREADS - 1; i++)
		pthread_create(&threads[i], NULL, work, i ? &rounds : NULL);
	work(NULL);
	for (int i = 0; i < THREADS - 1; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 16;
	setpgid(0, 0);
	tell();
	for (int i = 0; i < PROCESSES - 1; i++)
		if (fork() == 0) {
			tell();
			be_a_member();
			_exit(0);
		}
	be_a_member();
	while (wait(NULL) > 0)
		;
	return 0;
}
