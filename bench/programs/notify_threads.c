/* Let threads call getppid, and check what it returns: notify_threads THREADS CALLS TURNS FILE
 *
 * The argument of a call is a question, one of QUESTIONS. With TURNS the call must return
 * answer_to(question, TURNS), which is computed beforehand; with TURNS 0 always the same. How many
 * calls did not is printed. FILE gets the nanoseconds of wall time that a call took on average, all
 * threads together.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "answer.h"
#include "timing.h"

enum { MOST = 64 };

static pthread_barrier_t started;
static long calls, expected[QUESTIONS];

static void *work(void *wrong)
{
	pthread_barrier_wait(&started);
	for (long i = 0; i < calls; i++) {
		long question = i % QUESTIONS;

		*(long *)wrong += syscall(SYS_getppid, question) != expected[question];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static long wrong[MOST];
	pthread_t threads[MOST];
	int count = argc == 5 ? atoi(argv[1]) : 0;
	long turns, sum = 0;
	double start;

	if (count < 1 || count > MOST || atol(argv[2]) < 1)
		return 2;
	calls = atol(argv[2]);
	turns = atol(argv[3]);
	for (int i = 0; i < QUESTIONS; i++)
		expected[i] = turns ? answer_to(i, turns) : syscall(SYS_getppid, i);
	pthread_barrier_init(&started, NULL, count + 1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &wrong[i]) != 0)
			return 1;
	pthread_barrier_wait(&started);
	start = now();
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += wrong[i];
	}
	start = now() - start;
	if (report(argv[4], start / calls / count, count * calls, 0))
		return 1;
	printf("%ld wrong\n", sum);
	return 0;
}
