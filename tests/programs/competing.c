/* Two threads compute and call getppid(2) all the time, until their affinity has shrunk to one CPU
 * and grown again; then print "apart".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int over;

/* Not by sched_getaffinity(2): that gives back what the thread had. */
static int cpus(void)
{
	char line[256];
	unsigned int mask = 0;
	FILE *file = fopen("/proc/thread-self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "Cpus_allowed:", 13))
			mask = strtoul(line + 13, NULL, 16);
	if (file)
		fclose(file);
	return __builtin_popcount(mask);
}

static void *work(void *unused)
{
	while (!over) {
		for (volatile int i = 0; i < 50000; i++)
			;
		syscall(SYS_getppid);
	}
	return unused;
}

int main(void)
{
	pthread_t worker;

	while (cpus() > 1)
		syscall(SYS_getppid);
	pthread_create(&worker, NULL, work, NULL);
	while (cpus() == 1) {
		for (volatile int i = 0; i < 50000; i++)
			;
		syscall(SYS_getppid);
	}
	over = 1;
	pthread_join(worker, NULL);
	puts("apart");
	return 0;
}
