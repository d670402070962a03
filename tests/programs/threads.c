/* Let argv[1] threads call getppid argv[2] times each. With argv[3] the main thread does not wait
 * for them, but ends the process with that status once all of them are under way.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };

static pthread_barrier_t started;
static long calls;

static void *work(void *wrong)
{
	pid_t parent = getppid();

	pthread_barrier_wait(&started);
	for (long i = 0; i < calls; i++)
		*(long *)wrong += syscall(SYS_getppid) != parent;
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	static long wrong[MOST];
	pthread_t threads[MOST];
	long sum = 0;

	if (count < 1 || count > MOST)
		return 2;
	calls = atol(argv[2]);
	pthread_barrier_init(&started, NULL, (unsigned)count + 1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &wrong[i]) != 0)
			return 1;
	pthread_barrier_wait(&started);
	if (argc > 3)
		_exit(atoi(argv[3]));
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += wrong[i];
	}
	printf("%ld wrong\n", sum);
	return 0;
}
