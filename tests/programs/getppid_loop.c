/* Call getppid(2) argv[1] times without a libc wrapper; print the last result. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1, result = 0;
	while (count-- > 0)
		result = syscall(SYS_getppid);
	printf("%ld\n", result);
	return 0;
}
