/* Start a program in every way that libc and kernel offer: fork, vfork, posix_spawn, clone with
 * CLONE_VM, and clone3; each child executes /bin/echo with the name of the way. The parent waits for
 * each before the next and prints its exit status.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void echo(const char *word)
{
	execl("/bin/echo", "echo", word, (char *)NULL);
	_exit(127);
}

static int child_of_clone(void *word)
{
	echo(word);
	return 127;
}

static void report(const char *way, pid_t child)
{
	int status = -1;

	if (child < 0 || waitpid(child, &status, 0) != child) {
		printf("%s: failed\n", way);
		exit(1);
	}
	printf("%s: %d\n", way, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	fflush(stdout);
}

int main(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	char *arguments[] = {"echo", "posix_spawn", NULL};
	struct clone_args clone3;
	pid_t child;

	child = fork();
	if (child == 0)
		echo("fork");
	report("fork", child);

	child = vfork();
	if (child == 0)
		echo("vfork");
	report("vfork", child);

	if (posix_spawn(&child, "/bin/echo", NULL, NULL, arguments, environ) != 0)
		child = -1;
	report("posix_spawn", child);

	child = clone(child_of_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "clone");
	report("clone", child);

	memset(&clone3, 0, sizeof clone3);
	clone3.exit_signal = SIGCHLD;
	child = (pid_t)syscall(SYS_clone3, &clone3, sizeof clone3);
	if (child == 0)
		echo("clone3");
	report("clone3", child);
	return 0;
}
