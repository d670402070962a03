/* Run a command under a filter that is installed several times: stacked TIMES FILE COMMAND...
 *
 * FILE has the filter, an array of struct sock_filter. Every filter of the stack runs at each call,
 * but for those calls that the kernel knows to be allowed by all of them.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static struct sock_filter filter[BPF_MAXINSNS];
	struct sock_fprog program = { .filter = filter };
	FILE *file;

	if (argc < 4)
		return 2;
	file = fopen(argv[2], "r");
	if (!file) {
		perror(argv[2]);
		return 126;
	}
	program.len = fread(filter, sizeof(filter[0]), BPF_MAXINSNS, file);
	fclose(file);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int times = atoi(argv[1]); times > 0; times--)
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
			perror("PR_SET_SECCOMP");
			return 126;
		}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
