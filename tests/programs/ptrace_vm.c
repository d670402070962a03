/* Make mkdir(argv[1]), getppid(), mkdir(argv[2]) and write their three raw results on stdout. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static long long raw(long result)
{
	return result == -1 ? -errno : result;
}

int main(int argc, char **argv)
{
	long long results[3];

	if (argc != 3)
		return 2;
	results[0] = raw(syscall(SYS_mkdir, argv[1], 0700));
	results[1] = raw(syscall(SYS_getppid));
	results[2] = raw(syscall(SYS_mkdir, argv[2], 0700));
	return write(STDOUT_FILENO, results, sizeof results) != sizeof results;
}
