/* Let argv[1] threads call getppid over and over until one has made argv[2] calls; print how many the
 * slowest and the fastest made.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };

static pthread_barrier_t started;
static atomic_int over;
static long limit;

static void *work(void *count)
{
	long *made = count;

	pthread_barrier_wait(&started);
	while (!over) {
		syscall(SYS_getppid);
		if (++*made >= limit)
			over = 1;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	static long made[MOST];
	pthread_t threads[MOST];
	long least, most = 0;

	if (count < 1 || count > MOST)
		return 2;
	limit = atol(argv[2]);
	pthread_barrier_init(&started, NULL, count);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &made[i]))
			return 2;
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	least = made[0];
	for (int i = 0; i < count; i++) {
		least = made[i] < least ? made[i] : least;
		most = made[i] > most ? made[i] : most;
	}
	printf("%ld %ld\n", least, most);
	return 0;
}
