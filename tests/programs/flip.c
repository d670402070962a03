/* Stat a path that another thread changes all the time: flip CALLS ONE OTHER
 *
 * ONE and OTHER are of 8 bytes, which are written at once. Prints how many calls failed with EXDEV.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static union {
	char text[16];
	volatile uint64_t word;
} path;
static uint64_t names[2];
static volatile int is_over;

static void *change(void *unused)
{
	for (int n = 0; !is_over; n++)
		path.word = names[n & 1];
	return unused;
}

int main(int argc, char **argv)
{
	char status[256];
	long found = 0;
	pthread_t thread;

	if (argc != 4 || strlen(argv[2]) != sizeof names[0] || strlen(argv[3]) != sizeof names[1])
		return 2;
	memcpy(&names[0], argv[2], sizeof names[0]);
	memcpy(&names[1], argv[3], sizeof names[1]);
	path.word = names[0];
	if (pthread_create(&thread, NULL, change, NULL))
		return 1;
	for (long n = atol(argv[1]); n > 0; n--)
		found += syscall(SYS_newfstatat, AT_FDCWD, path.text, status, 0) < 0 && errno == EXDEV;
	is_over = 1;
	pthread_join(thread, NULL);
	printf("%ld\n", found);
	return 0;
}
