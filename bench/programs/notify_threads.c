/* Let threads call getppid with some work in between: notify_threads THREADS CALLS WORK FILE
 *
 * WORK is what a thread computes before each call, in microseconds of an idle CPU. FILE gets the
 * nanoseconds of wall time that a call took on average, all threads together.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, TRIAL = 10000000 };

static pthread_barrier_t started;
static long calls, turns;

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void compute(long count)
{
	for (volatile long i = 0; i < count; i++)
		;
}

static void *work(void *differing)
{
	long first = syscall(SYS_getppid);

	pthread_barrier_wait(&started);
	for (long i = 0; i < calls; i++) {
		compute(turns);
		*(long *)differing += syscall(SYS_getppid) != first;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static long differing[MOST];
	pthread_t threads[MOST];
	int count = argc == 5 ? atoi(argv[1]) : 0;
	double start;
	long sum = 0;
	FILE *file;

	if (count < 1 || count > MOST || atol(argv[2]) < 1)
		return 2;
	calls = atol(argv[2]);
	start = now(CLOCK_THREAD_CPUTIME_ID);
	compute(TRIAL);
	turns = atof(argv[3]) * 1000 * TRIAL / (now(CLOCK_THREAD_CPUTIME_ID) - start);
	pthread_barrier_init(&started, NULL, count + 1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &differing[i]) != 0)
			return 1;
	pthread_barrier_wait(&started);
	start = now(CLOCK_MONOTONIC);
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += differing[i];
	}
	start = now(CLOCK_MONOTONIC) - start;
	file = fopen(argv[4], "w");
	if (!file || fprintf(file, "%.3f\n", start / calls / count) < 0 || fclose(file))
		return 1;
	printf("%ld\n", sum);
	return 0;
}
