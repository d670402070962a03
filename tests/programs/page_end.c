/* Pass pointers to the very end of a page that is followed by nothing: strings that just fit, one
 * without its NUL, a buffer that reaches too far, an array of pointers that does; print the results.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void report(const char *what, long result)
{
	printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

int main(void)
{
	long size = sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = pages + 2 * size, *path;
	struct iovec *parts;
	char **words;
	struct stat status;
	int fd;

	munmap(end, size);

	path = end - sizeof "/dev/null";
	strcpy(path, "/dev/null");
	fd = open(path, O_RDWR);
	report("path that ends with the page", fd);
	/* Across the boundary of two pages that are both there. */
	path = pages + size - 4;
	strcpy(path, "/dev/zero");
	report("path across two pages", open(path, O_RDONLY));
	memset(end - 8, 'x', 8);
	report("path without end", open(end - 8, O_RDONLY));
	report("path of nothing", open(end, O_RDONLY));
	report("buffer that just fits", write(fd, end - 8, 8));
	report("buffer that reaches too far", write(1, end - 8, 4096) < 0 ? -1 : 0);
	parts = (struct iovec *)end - 1;
	parts->iov_base = end - 32;
	parts->iov_len = 8;
	report("vector that just fits", writev(fd, parts, 1));
	report("vector that reaches too far", writev(fd, parts, 2));
	words = (char **)end - 2;
	words[0] = "word";
	words[1] = "another";
	report("arguments without end", execve("/bin/true", words, NULL));
	report("status of nothing", stat(end, &status));
	return 0;
}
