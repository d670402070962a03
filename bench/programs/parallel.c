/* Compute in several threads, and make a call now and then: parallel ROUNDS CALLS_A_SECOND THREADS
 *
 * Each thread does the same work; all of them together make that many calls of getppid a second.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 64 };

static long rounds;
static double interval;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *work(void *unused)
{
	volatile unsigned long x = 1;
	double next = now();

	for (long round = 0; round < rounds; round++) {
		for (int i = 0; i < 100000; i++)
			x = x * 6364136223846793005UL + 1;
		if (now() >= next) {
			syscall(SYS_getppid);
			next += interval;
		}
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_THREADS];
	int count;

	if (argc < 4)
		return 2;
	count = atoi(argv[3]);
	if (count < 1 || count > MAX_THREADS)
		return 2;
	rounds = atol(argv[1]);
	interval = count / atof(argv[2]);
	for (int i = 1; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			return 2;
	work(NULL);
	for (int i = 1; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
