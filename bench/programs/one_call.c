/* Make one call over and over and say what it takes: one_call getppid|stat CALLS FILE
 *
 * FILE gets the nanoseconds of one call: the median of BATCHES equal parts of the run, which a short
 * disturbance does not change. Standard output gets 1 if all results were the same, as they are under
 * every tracer. Calls are made through syscall(2): getppid(2), the cheapest there is, or
 * newfstatat(2) of "/", an ordinary one.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 25 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static long call(int is_stat)
{
	struct stat unused;

	if (is_stat)
		return syscall(SYS_newfstatat, AT_FDCWD, "/", &unused, 0);
	return syscall(SYS_getppid);
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	double batch[BATCHES];
	long calls, result = 0, sum = 0;
	int is_stat;
	FILE *file;

	if (argc != 4)
		return 2;
	is_stat = strcmp(argv[1], "stat") == 0;
	calls = atol(argv[2]) / BATCHES;
	if (calls < 1)
		return 2;

	for (int i = 0; i < BATCHES; i++) {
		double start = now();

		for (long n = 0; n < calls; n++) {
			result = call(is_stat);
			sum += result;
		}
		batch[i] = (now() - start) / calls;
	}
	qsort(batch, BATCHES, sizeof batch[0], compare);

	file = fopen(argv[3], "w");
	if (!file || fprintf(file, "%.3f\n", batch[BATCHES / 2]) < 0 || fclose(file))
		return 1;
	printf("%d\n", sum == result * BATCHES * calls);
	return 0;
}
