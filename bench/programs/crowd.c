/* Make one call in many processes or threads at once: crowd processes|threads COUNT CALLS FILE
 *
 * COUNT of them make CALLS calls of getpgid(0) in all, and begin together. FILE gets the wall time of
 * it all, in nanoseconds a call, how many calls were made, and how many of them somebody answered.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };

static struct {
	pthread_barrier_t barrier;
	long calls;
	struct { long made, answered, wrong; double start, end; } of[MOST];
} *shared;

static void *work(void *number)
{
	long i = (long)number, made = 0, answered = 0, wrong = 0;

	pthread_barrier_wait(&shared->barrier);
	shared->of[i].start = now();
	for (; made < shared->calls; made++)
		if (syscall(SYS_getpgid, 0) < 0) {
			answered += errno == SIGN;
			wrong += errno != SIGN;
		}
	shared->of[i].end = now();
	shared->of[i].made = made;
	shared->of[i].answered = answered;
	shared->of[i].wrong = wrong;
	return NULL;
}

static int in_processes(long count)
{
	int status, failed = 0;

	for (long i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			return 1;
		if (child == 0) {
			work((void *)i);
			_exit(0);
		}
	}
	for (long i = 0; i < count; i++)
		failed |= wait(&status) < 0 || status;
	return failed;
}

static int in_threads(long count)
{
	pthread_t threads[MOST];

	for (long i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 1;
	for (long i = 0; i < count; i++)
		if (pthread_join(threads[i], NULL))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	pthread_barrierattr_t attributes;
	long count, made = 0, answered = 0, wrong = 0;
	double start, end;

	if (argc != 5)
		return 2;
	count = atol(argv[2]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (count < 1 || count > MOST || shared == MAP_FAILED)
		return 2;
	shared->calls = atol(argv[3]) / count;
	if (shared->calls < 1)
		return 2;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attributes, count);
	if (strcmp(argv[1], "threads") == 0 ? in_threads(count) : in_processes(count))
		return 1;

	start = shared->of[0].start;
	end = shared->of[0].end;
	for (long i = 0; i < count; i++) {
		start = shared->of[i].start < start ? shared->of[i].start : start;
		end = shared->of[i].end > end ? shared->of[i].end : end;
		made += shared->of[i].made;
		answered += shared->of[i].answered;
		wrong += shared->of[i].wrong;
	}
	if (report(argv[4], (end - start) / made, made, answered))
		return 1;
	printf("%ld calls failed\n", wrong);
	return 0;
}
