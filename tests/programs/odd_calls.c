/* Enter the kernel in ways that confuse tracers, one for each argument, and print what came of it:
 *
 *   numbers   system call numbers that do not exist
 *   int80     i386 calls of a 64-bit program
 *   x32       a call of the x32 ABI
 *   wide      an int argument with rubbish in the upper half of its register
 *   vsyscall  time(2) by way of the vsyscall page
 *   io_uring  set up a ring, whose operations no tracer sees
 *   untraced  clone(2) a child that asks not to be traced; untraced3: clone3(2) it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { I386_GETPPID = 64, X32_BIT = 0x40000000, VSYSCALL_TIME = 0x400 };

static void report(const char *what, long result)
{
	printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

static void numbers(void)
{
	static const long odd[] = {-1, -2, 1000, 0x7fffffff, 0x80000000, 0x7fffffffffffffff};

	for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++)
		report("call", syscall(odd[i]));
}

static void int80(void)
{
	long result = 0;

	for (int i = 0; i < 10; i++)
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(I386_GETPPID) : "memory");
	printf("i386 getppid %s\n", result == getppid() ? "right" : "wrong");
}

static void x32(void)
{
	report("x32 getppid", syscall(X32_BIT | SYS_getppid));
}

static void wide(void)
{
	/* A number that nothing else in the program has. */
	int fd = dup2(open("/dev/zero", O_RDONLY), 99);
	long argument = 0xdeadbeef00000000L | (unsigned)fd;

	printf("%ld\n", syscall(SYS_lseek, argument, -1L, SEEK_SET));
	report("close", syscall(SYS_close, argument));
}

static void vsyscall(void)
{
	time_t (*vsyscall_time)(time_t *) = (time_t (*)(time_t *))(0xffffffffff600000L + VSYSCALL_TIME);
	time_t now = vsyscall_time(NULL);

	printf("%ld\n", now >= time(NULL) - 60 && now <= time(NULL) ? 1L : (long)now);
}

static void io_uring(void)
{
	struct io_uring_params parameters;

	memset(&parameters, 0, sizeof parameters);
	report("io_uring_setup", syscall(SYS_io_uring_setup, 2, &parameters));
}

static void wait_for(const char *what, long child)
{
	int status = 0;

	if (child == 0)
		_exit(syscall(SYS_getppid) > 0 ? 0 : errno);
	if (child < 0 || waitpid((pid_t)child, &status, __WALL) != child)
		exit(1);
	printf("%s %s\n", what, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "done");
	fflush(stdout);
}

static void untraced(void)
{
	wait_for("clone", syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0));
}

static void untraced3(void)
{
	struct clone_args arguments;

	memset(&arguments, 0, sizeof arguments);
	arguments.flags = CLONE_UNTRACED;
	arguments.exit_signal = SIGCHLD;
	wait_for("clone3", syscall(SYS_clone3, &arguments, sizeof arguments));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = {
		{"numbers", numbers}, {"int80", int80},       {"x32", x32},           {"wide", wide},
		{"vsyscall", vsyscall}, {"io_uring", io_uring}, {"untraced", untraced},
		{"untraced3", untraced3},
	};

	for (unsigned i = 0; argc > 1 && i < sizeof ways / sizeof *ways; i++)
		if (strcmp(argv[1], ways[i].name) == 0) {
			ways[i].run();
			return 0;
		}
	return 2;
}
