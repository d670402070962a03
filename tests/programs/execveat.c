/* Execute the program that is named, with the argument 1, by execveat(2). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *arguments[] = {argv[1], "1", NULL}, *environment[] = {NULL};

	(void)argc;
	return syscall(SYS_execveat, AT_FDCWD, argv[1], arguments, environment, 0);
}
