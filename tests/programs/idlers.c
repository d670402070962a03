/* Start a child by fork, vfork, clone or clone3, as is asked; it and its parent write a byte, by a
 * call that makes, changes and ends no thread in either ABI, and wait for ever.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct iovec byte = {"x", 1};
	struct clone_args arguments = {.exit_signal = SIGCHLD};

	if (argc < 2)
		return 1;
	if (!strcmp(argv[1], "fork"))
		syscall(SYS_fork);
	else if (!strcmp(argv[1], "vfork"))
		vfork();
	else if (!strcmp(argv[1], "clone"))
		syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	else
		syscall(SYS_clone3, &arguments, sizeof arguments);
	if (writev(1, &byte, 1) != 1)
		return 1;
	for (;;)
		pause();
}
