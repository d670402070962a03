/* Work with files, directories, links, a pipe, a child and a signal, through libc; deterministic to
 * the last call, so that two tracers must see the same. Also built as a 32-bit program.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handle(int signal)
{
	handled = signal;
}

static int must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void write_and_read(void)
{
	struct iovec parts[2] = {{"scattered ", 10}, {"words\n", 6}};
	struct stat status;
	char text[64] = "";
	int fd = must(open("data", O_RDWR | O_CREAT | O_TRUNC, 0640), "open");

	must(write(fd, "first line\n\ttab \"quoted\" \\ \001\377\n", 30), "write");
	must(writev(fd, parts, 2), "writev");
	must(fstat(fd, &status), "fstat");
	must(lseek(fd, -16, SEEK_END), "lseek");
	must(read(fd, text, sizeof text), "read");
	must(ftruncate(fd, 40), "ftruncate");
	must(fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl");
	must(close(fd), "close");
	printf("%ld %s", (long)status.st_size, text);
	printf("%s\n", close(fd) < 0 ? strerrorname_np(errno) : "closed twice");
}

static void walk(void)
{
	char target[64] = "";
	struct dirent *entry;
	int entries = 0;
	DIR *directory;

	must(mkdir("dir", 0755), "mkdir");
	must(symlink("../data", "dir/link"), "symlink");
	must(link("data", "dir/hard"), "link");
	must(readlink("dir/link", target, sizeof target - 1), "readlink");
	must(rename("dir/hard", "dir/renamed"), "rename");
	must(access("dir/renamed", R_OK | W_OK), "access");
	must(chmod("data", 0600), "chmod");
	directory = opendir("dir");
	while ((entry = readdir(directory)) != NULL)
		entries++;
	closedir(directory);
	must(unlink("dir/renamed"), "unlink");
	printf("%s %d %s\n", target, entries,
	       open("missing/file", O_RDONLY) < 0 ? strerrorname_np(errno) : "found");
}

static void talk(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "no-such-socket"};
	int pair[2], pipes[2], status, plain;
	char text[16] = "";
	pid_t child;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
	must(send(pair[0], "ping", 4, MSG_NOSIGNAL), "send");
	must(recv(pair[1], text, sizeof text, 0), "recv");
	plain = must(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
	status = connect(plain, (struct sockaddr *)&address, sizeof address);
	printf("%s %s\n", text, status < 0 ? strerrorname_np(errno) : "connected");
	fflush(stdout);

	must(pipe(pipes), "pipe");
	child = must(fork(), "fork");
	if (child == 0) {
		must(dup2(pipes[1], 20), "dup2");
		must(write(20, "child", 5), "write");
		_exit(3);
	}
	must(waitpid(child, &status, 0), "waitpid");
	must(read(pipes[0], text, sizeof text), "read");
	printf("%s %d\n", text, WEXITSTATUS(status));
}

int main(void)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
	void *pages;

	write_and_read();
	walk();
	talk();
	sigaction(SIGUSR1, &action, NULL);
	kill(getpid(), SIGUSR1);
	pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(mprotect(pages, 4096, PROT_READ), "mprotect");
	must(munmap(pages, 8192), "munmap");
	printf("handled %d\n", (int)handled);
	return 5;
}
