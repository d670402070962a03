/* What the programs that measure themselves have in common. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A call that fails so has been answered by a tracer or a filter: bench.subjects.SIGN. */
#define SIGN EDOM

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static inline double median(double *values, int count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* Nanoseconds of one call, calls that were counted, and how many of those were answered. */
static inline int report(const char *path, double nanoseconds, long made, long answered)
{
	FILE *file = fopen(path, "w");

	return !file || fprintf(file, "%.3f %ld %ld\n", nanoseconds, made, answered) < 0 || fclose(file);
}
