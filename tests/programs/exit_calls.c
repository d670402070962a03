/* Make system calls that the test chooses, for tests/integration/test_exit_signal.py.
 *
 * The first argument says what to do with SIGTRAP first: default, ignored or blocked, until all
 * calls are made. Writes a byte to standard output, reads a struct call for each from standard
 * input, makes them all, and writes what they returned as 64-bit integers. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CALLS = 5000 };

static struct call {
    uint32_t compat; /* int 0x80 instead of syscall; of 64-bit code only */
    int32_t nr;
    uint64_t args[6];
} calls[MAX_CALLS];
static int64_t results[MAX_CALLS];

static int64_t make_call(const struct call *call)
{
    const uint64_t *a = call->args;

#ifdef __x86_64__
    if (call->compat) {
        /* ebp would be the sixth argument; the compiler may need rbp. */
        int64_t result = call->nr;
        __asm__ volatile("int $0x80"
                         : "+a"(result)
                         : "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                         : "memory", "r8", "r9", "r10", "r11");
        return result;
    }
#endif
    long result = syscall(call->nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4],
                          (long)a[5]);
    return result == -1 ? -errno : result;
}

int main(int argc, char **argv)
{
    sigset_t trap;
    size_t size = 0, count;
    ssize_t got;

    if (argc < 2)
        return 2;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    if (strcmp(argv[1], "ignored") == 0)
        signal(SIGTRAP, SIG_IGN);
    if (strcmp(argv[1], "blocked") == 0)
        sigprocmask(SIG_BLOCK, &trap, NULL);
    if (write(1, "", 1) != 1)
        return 1;
    while ((got = read(0, (char *)calls + size, sizeof calls - size)) > 0)
        size += (size_t)got;
    count = size / sizeof *calls;
    for (size_t i = 0; i < count; i++)
        results[i] = make_call(&calls[i]);
    sigprocmask(SIG_UNBLOCK, &trap, NULL);
    return write(1, results, count * sizeof *results) != (ssize_t)(count * sizeof *results);
}
