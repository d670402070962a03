/* Fork as many children as the argument says, one after the other; each exits with a status of its
 * own and is waited for. Prints how many came back with the right one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int wanted = argc > 1 ? atoi(argv[1]) : 2000;
	int right = 0;

	for (int i = 0; i < wanted; i++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			_exit(i & 0xff);
		if (child < 0 || waitpid(child, &status, 0) != child)
			return 1;
		right += WIFEXITED(status) && WEXITSTATUS(status) == (i & 0xff);
	}
	printf("%d\n", right);
	return 0;
}
