/* Look files up through every spelling that a tracer has to judge: look_up DIRECTORY
 *
 * DIRECTORY has a file "a". Each line of output is what stat(2), or what it is called, did. Also
 * built as a 32-bit program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_newfstatat
enum { STAT = SYS_newfstatat };
#else
enum { STAT = SYS_fstatat64 };
#endif

static char status[256];

static void look_up(const char *what, const char *path)
{
	long result = syscall(STAT, AT_FDCWD, path, status, 0);

	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "there");
}

int main(int argc, char **argv)
{
	long size = sysconf(_SC_PAGESIZE);
	char path[6000], file[1000], *pages, *end, *last = strrchr(argv[argc - 1], '/');
	int length;

	if (argc != 2 || !last)
		return 2;
	look_up("the directory", argv[1]);
	length = snprintf(file, sizeof file, "%s/a", argv[1]) + 1;
	look_up("a file", file);
	snprintf(path, sizeof path, "//%s/./../%s//a", argv[1] + 1, last + 1);
	look_up("the long way", path);
	snprintf(path, sizeof path, "%s/../a", argv[1]);
	look_up("out of it", path);
	snprintf(path, sizeof path, "%s.d/a", argv[1]);
	look_up("beside it", path);
	look_up("relative", "a");
	look_up("nothing", "");
	look_up("no memory", (char *)16);

	pages = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	end = pages + 2 * size;
	munmap(end, size);
	look_up("at the end of a page", memcpy(end - length, file, length));
	look_up("over the end of a page", memcpy(end - size - 3, file, length));
	look_up("without end", memset(end - 8, '/', 8));

	memset(path, '/', sizeof path);
	memcpy(path + 4096 - length, file, length);
	look_up("as long as a path can be", path);
	memcpy(path + 4097 - length, file, length);
	look_up("longer", path);
	return 0;
}
