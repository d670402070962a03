/* System calls that signals interrupt, resume, or follow; what the program sees must not depend on
 * a tracer:
 *
 *   handler   a hundred times: a signal whose handler calls getppid, then getppid itself and
 *             syscall(-1); prints how often each returned what it should, argv[2] being getppid's
 *   restart   poll(2) in a child that is stopped and continued (restart_syscall), then read(2) that
 *             a handled signal interrupts (SA_RESTART); prints the results in the child
 *   eintr     pause(2) that a handled signal ends with EINTR
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMES = 100 };

static volatile sig_atomic_t handled;
static volatile long in_handler;

static void handle(int signal)
{
	(void)signal;
	handled++;
	in_handler = syscall(SYS_getppid);
}

static void set_handler(int flags)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = flags};

	sigaction(SIGUSR1, &action, NULL);
}

static int handler(long expected)
{
	int inside = 0, outside = 0, nothing = 0;

	set_handler(0);
	for (int i = 0; i < TIMES; i++) {
		raise(SIGUSR1);
		inside += in_handler == expected;
		outside += syscall(SYS_getppid) == expected;
		nothing += syscall(-1) == -1 && errno == ENOSYS;
	}
	printf("%d %d %d\n", inside, outside, nothing);
	return 0;
}

static int read_line(pid_t pid, const char *name, char *line, int size)
{
	char path[64];
	FILE *file;
	int found;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "r");
	found = file != NULL && fgets(line, size, file) != NULL;
	if (file != NULL)
		fclose(file);
	return found;
}

/* Wait until the process sleeps in the system call: nothing else tells that it has got there. */
static void until_sleeping_in(pid_t pid, long number)
{
	char line[256], state = '?', *name;
	long found = -1;

	while (found != number || state != 'S') {
		sched_yield();
		/* At a ptrace-stop the number is there, too, but the state is not S. */
		if (!read_line(pid, "syscall", line, sizeof line))
			exit(1);
		if (sscanf(line, "%ld", &found) != 1)
			found = -1;
		if (!read_line(pid, "stat", line, sizeof line))
			exit(1);
		name = strrchr(line, ')');
		state = name == NULL ? '?' : name[2];
	}
}

static int child_of_restart(int reading)
{
	struct pollfd polled = {.fd = reading, .events = POLLIN};
	char text[2];
	int ready;

	set_handler(SA_RESTART);
	ready = poll(&polled, 1, 600000);
	printf("poll %d %s\n", ready, ready < 0 ? strerrorname_np(errno) : "done");
	if (read(reading, text, 1) != 1)
		return 1;
	ready = (int)read(reading, text, 1);
	printf("read %d %s, handled %d\n", ready, ready < 0 ? strerrorname_np(errno) : "done",
	       (int)handled);
	return 0;
}

static int restart(void)
{
	int pipes[2], status;
	pid_t child;

	if (pipe(pipes) != 0)
		return 1;
	child = fork();
	if (child == 0)
		exit(child_of_restart(pipes[0]));
	until_sleeping_in(child, SYS_poll);
	for (int i = 0; i < 3; i++) {
		kill(child, SIGSTOP);
		if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
			return 1;
		kill(child, SIGCONT);
		if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status))
			return 1;
		until_sleeping_in(child, SYS_restart_syscall);
	}
	if (write(pipes[1], "1", 1) != 1)
		return 1;
	until_sleeping_in(child, SYS_read);
	kill(child, SIGUSR1);
	if (write(pipes[1], "2", 1) != 1 || waitpid(child, &status, 0) != child)
		return 1;
	return WEXITSTATUS(status);
}

static int eintr(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		set_handler(SA_RESTART);
		status = pause();
		printf("pause %d %s, handled %d\n", status, strerrorname_np(errno), (int)handled);
		exit(0);
	}
	until_sleeping_in(child, SYS_pause);
	kill(child, SIGUSR1);
	return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "handler") == 0)
		return handler(atol(argv[2]));
	if (argc > 1 && strcmp(argv[1], "restart") == 0)
		return restart();
	if (argc > 1 && strcmp(argv[1], "eintr") == 0)
		return eintr();
	return 2;
}
