/* Makes one system call that its tracer can tell from all others, and reports what came of it:
 *
 *   RESULT RAN
 *
 * RESULT is what the kernel, or the tracer, returned; RAN is 1 if the call had its effect. Every
 * call has arguments of its own, see CALLS in tests/integration/combinations.py. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READING = 108, WRITING = 109, GIVING = 110, NONE = 177, PATIENCE = 1000 };

static long raw(long result)
{
    return result == -1 ? -errno : result;
}

static int waiting(int fd)
{
    int bytes = 0;
    ioctl(fd, FIONREAD, &bytes);
    return bytes;
}

static void make_pipe(void)
{
    int ends[2];
    if (pipe(ends) || dup2(ends[0], READING) < 0 || dup2(ends[1], WRITING) < 0 ||
        dup2(ends[1], GIVING) < 0)
        exit(90);
    close(ends[0]);
    close(ends[1]);
}

static void give(int signal)
{
    (void)signal;
    if (write(GIVING, "abcd", 4) != 4)
        _exit(92);
}

/* Where a process sleeps, as the kernel calls it: whoever waits for a supervisor's answer sleeps,
 * too, and its call has not begun. "0" if the kernel does not tell. */
static const char *sleeps_in(int pid)
{
    static char text[64];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/wchan", pid);
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? size : 0] = 0;
    return size > 0 ? text : "0";
}

/* Waits until its parent sleeps in a call, then sends it a signal; or until it is done. */
static void interrupt_once(volatile int *done)
{
    int parent = getpid();
    if (fork())
        return;
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", parent);
    int unknown = 0;
    while (!*done) {
        int fd = open(path, O_RDONLY);
        ssize_t size = pread(fd, text, sizeof text - 1, 0);
        close(fd);
        if (size <= 0)
            _exit(0);
        text[size] = 0;
        char *state = strrchr(text, ')');
        const char *where = sleeps_in(parent);
        unknown = state && state[2] == 'S' && !strcmp(where, "0") ? unknown + 1 : 0;
        if ((strstr(where, "pipe") || unknown > PATIENCE) && !kill(parent, SIGUSR1))
            _exit(0);
    }
    _exit(0);
}

static long blocked_read(char *buffer)
{
    struct sigaction action = {.sa_handler = give, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    volatile int *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    interrupt_once(done);
    long result = raw(syscall(SYS_read, READING, buffer, 4));
    /* It ends by itself: a tracer does not hear of a stop that SIGKILL ends. */
    *done = 1;
    wait(NULL);
    return result;
}

int main(int argc, char **argv)
{
    const char *call = argc > 1 ? argv[1] : "";
    const char *path = argc > 2 ? argv[2] : "";
    char buffer[8] = "";
    long result = 0;
    int ran = 0;

    make_pipe();
    if (!strcmp(call, "getppid")) {
        result = raw(syscall(SYS_getppid, NONE));
        ran = result == getppid();
    } else if (!strcmp(call, "read")) {
        give(0);
        result = raw(syscall(SYS_read, READING, buffer, 4));
        ran = waiting(READING) == 0 && !memcmp(buffer, "abcd", 4);
    } else if (!strcmp(call, "blocked-read")) {
        result = blocked_read(buffer);
        ran = !memcmp(buffer, "abcd", 4);
    } else if (!strcmp(call, "openat")) {
        result = raw(syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_EXCL | O_WRONLY, 0640));
        ran = access(path, F_OK) == 0;
    } else if (!strcmp(call, "write")) {
        result = raw(syscall(SYS_write, WRITING, "abcd", 4));
        ran = waiting(READING) == 4;
    } else if (!strcmp(call, "failing")) {
        result = raw(syscall(SYS_close, NONE));
        ran = result == -EBADF;
    } else if (!strcmp(call, "execve")) {
        char *again[] = {argv[0], "again", NULL};
        result = raw(syscall(SYS_execve, argv[0], again, NULL));
    } else if (!strcmp(call, "again")) {
        ran = 1;
    } else if (!strcmp(call, "clone")) {
        result = raw(syscall(SYS_clone, SIGCHLD, 0, NONE, 0, 0));
        if (result == 0) {
            give(0);
            _exit(0);
        }
        ran = waitpid(-1, NULL, 0) > 0 && waiting(READING) == 4;
    } else {
        return 91;
    }
    printf("%ld %d\n", result, ran);
    return 0;
}
