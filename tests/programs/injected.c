/* Does what its words say, one after the other, and prints what it sees: so that what a tracer
 * injects can be told from what the kernel does. sched_yield(2), when it runs, returns 0.
 *
 *   calls      six times sched_yield, each with its result and errno
 *   handle     print SIGUSR1 when it comes, and who sent it
 *   block      block SIGUSR1; unblock: and take it if it is pending
 *   pause      pause(2) until a signal interrupts it
 *   time MS    say whether one sched_yield took so many milliseconds, or more
 *   thread     do the rest in a new thread, and wait for it
 *   fork       do the rest in a child, wait for it, and do it again
 *   exec       do the rest in a new image of this program
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *self;

static void handler(int number, siginfo_t *info, void *context)
{
	char line[80];
	(void)context;
	int size = snprintf(line, sizeof line, "signal %d code %d pid %d uid %d\n", number,
			    info->si_code, (int)info->si_pid, (int)info->si_uid);
	if (write(1, line, size) != size)
		_exit(3);
}

static void calls(void)
{
	for (int i = 1; i <= 6; i++) {
		errno = 0;
		long result = syscall(SYS_sched_yield);
		printf("%d: %ld errno %d\n", i, result, errno);
		fflush(stdout);
	}
}

static void handle(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &action, NULL);
}

static void block(int how)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
	printf("%s\n", how == SIG_BLOCK ? "blocked" : "unblocked");
	fflush(stdout);
}

static void measure(long milliseconds)
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	long result = syscall(SYS_sched_yield);
	clock_gettime(CLOCK_MONOTONIC, &after);
	long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
	printf("%ld, %s\n", result, passed >= milliseconds * 1000000LL ? "late" : "early");
	fflush(stdout);
}

static void *follow(void *words);

static void again(char **words)
{
	char *arguments[32] = { self };
	for (int i = 0; words[i] && i < 30; i++)
		arguments[i + 1] = words[i];
	execv(self, arguments);
	_exit(4);
}

static void in_thread(char **words)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, follow, words))
		exit(5);
	pthread_join(thread, NULL);
}

static void in_child(char **words)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		follow(words);
		exit(6);
	}
	waitpid(child, &status, 0);
	printf("child: %#x\n", status);
	fflush(stdout);
	follow(words);
}

static void *follow(void *given)
{
	for (char **words = given; *words; words++) {
		if (!strcmp(*words, "calls")) {
			calls();
		} else if (!strcmp(*words, "handle")) {
			handle();
		} else if (!strcmp(*words, "block")) {
			block(SIG_BLOCK);
		} else if (!strcmp(*words, "unblock")) {
			block(SIG_UNBLOCK);
		} else if (!strcmp(*words, "pause")) {
			printf("pause: %d\n", pause() < 0 ? errno : 0);
			fflush(stdout);
		} else if (!strcmp(*words, "time")) {
			measure(atol(*++words));
		} else if (!strcmp(*words, "thread")) {
			in_thread(words + 1);
			return NULL;
		} else if (!strcmp(*words, "fork")) {
			in_child(words + 1);
			return NULL;
		} else if (!strcmp(*words, "exec")) {
			again(words + 1);
		} else {
			exit(2);
		}
	}
	return NULL;
}

int main(int count, char **words)
{
	(void)count;
	self = words[0];
	follow(words + 1);
	return 0;
}
