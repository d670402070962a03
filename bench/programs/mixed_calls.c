/* Make two calls in turn and say what one takes: mixed_calls NAME SHARE CALLS FILE
 *
 * SHARE percent of all CALLS are NAME: getpgid(0), or stat("/"); all others are getsid(0), which is as
 * cheap as getpgid. They are spread evenly. FILE gets the nanoseconds of one call (of any: the median
 * of BATCHES equal parts of the run), how often NAME was called, and how many of those calls
 * somebody answered. stat is made by its old number, which no C library uses by itself.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BATCHES = 25 };

int main(int argc, char **argv)
{
	double batch[BATCHES];
	long share, calls, turn = 0, made = 0, answered = 0, wrong = 0;
	struct stat unused;
	int is_stat;

	if (argc != 5)
		return 2;
	is_stat = strcmp(argv[1], "stat") == 0;
	share = atol(argv[2]);
	calls = atol(argv[3]) / BATCHES;
	if (calls < 1)
		return 2;

	for (int i = 0; i < BATCHES; i++) {
		double start = now();

		for (long n = 0; n < calls; n++) {
			turn += share;
			if (turn < 100) {
				wrong += syscall(SYS_getsid, 0) < 0;
				continue;
			}
			turn -= 100;
			made++;
			if (is_stat ? syscall(SYS_stat, "/", &unused) < 0 : syscall(SYS_getpgid, 0) < 0) {
				answered += errno == SIGN;
				wrong += errno != SIGN;
			}
		}
		batch[i] = (now() - start) / calls;
	}
	if (report(argv[4], median(batch, BATCHES), made, answered))
		return 1;
	printf("%ld calls failed\n", wrong);
	return 0;
}
