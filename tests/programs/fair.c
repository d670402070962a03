/* Let argv[1] threads call getppid: until the main thread, once all are under way, has called getpid,
 * and argv[2] times more.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };

static pthread_barrier_t started;
static atomic_int asked;
static long calls;

static void *work(void *nothing)
{
	pthread_barrier_wait(&started);
	while (!asked)
		syscall(SYS_getppid);
	for (long i = 0; i < calls; i++)
		syscall(SYS_getppid);
	return nothing;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	pthread_t threads[MOST];

	if (count < 1 || count > MOST)
		return 2;
	calls = atol(argv[2]);
	pthread_barrier_init(&started, NULL, (unsigned)count + 1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			return 1;
	pthread_barrier_wait(&started);
	syscall(SYS_getpid);
	asked = 1;
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
