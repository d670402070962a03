/* load_filter FILE CMD ARG...: installs the struct sock_filter in FILE and executes CMD. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static struct sock_filter filter[4096];
	FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
	struct sock_fprog program = {0, filter};

	if (!file)
		return 2;
	program.len = fread(filter, sizeof *filter, 4096, file);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		return 3;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 4;
}
