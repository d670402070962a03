/* Runs filters in the real kernel, for tests/integration/test_bpf_kernel.py.
 *
 * Standard input: any number of jobs, each a struct job with its instructions and its calls.
 * Standard output: for each job, as 64-bit integers, what seccomp(2) returned and what each call
 * returned, or KILLED + the signal that ended the child there, and NOT_REACHED for the calls after.
 *
 * Each job has a child of its own. Under the filter it makes no system call but those of the job,
 * and puts their results into shared memory: the filter may refuse everything else, exit included. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_INSNS = 5000, MAX_CALLS = 5000 };
#define NOT_REACHED (INT64_MIN)
#define KILLED (INT64_C(1) << 32)

struct job {
    uint32_t insns, calls;
};

struct call {
    uint32_t compat; /* int 0x80 instead of syscall */
    int32_t nr;
    uint64_t args[6];
};

static int64_t make_call(const struct call *call)
{
    int64_t result = call->nr; /* sign-extended: the kernel looks at 32 bits */
    if (call->compat) {
        /* ebp would be the sixth argument; the compiler may need rbp, and no test needs args[5]. */
        __asm__ volatile("int $0x80"
                         : "+a"(result)
                         : "b"(call->args[0]), "c"(call->args[1]), "d"(call->args[2]),
                           "S"(call->args[3]), "D"(call->args[4])
                         : "memory", "r8", "r9", "r10", "r11");
        return (int32_t)result;
    }
    register uint64_t r10 __asm__("r10") = call->args[3];
    register uint64_t r8 __asm__("r8") = call->args[4];
    register uint64_t r9 __asm__("r9") = call->args[5];
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(call->args[0]), "S"(call->args[1]), "d"(call->args[2]), "r"(r10), "r"(r8),
                       "r"(r9)
                     : "memory", "rcx", "r11");
    return result;
}

static void read_all(void *buffer, size_t size)
{
    if (size && fread(buffer, size, 1, stdin) != 1) {
        fputs("bpf_probe: the job is incomplete\n", stderr);
        exit(1);
    }
}

int main(void)
{
    static struct sock_filter insns[MAX_INSNS];
    static struct call calls[MAX_CALLS];
    struct rlimit no_core = {0, 0};
    struct job job;
    size_t size = (1 + MAX_CALLS) * sizeof(int64_t);
    int64_t *results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED || setrlimit(RLIMIT_CORE, &no_core) != 0)
        return 1;
    while (fread(&job, sizeof job, 1, stdin) == 1) {
        if (job.insns > MAX_INSNS || job.calls > MAX_CALLS)
            return 1;
        read_all(insns, job.insns * sizeof *insns);
        read_all(calls, job.calls * sizeof *calls);
        for (uint32_t i = 0; i <= job.calls; i++)
            results[i] = NOT_REACHED;
        pid_t child = fork();
        if (child == 0) {
            struct sock_fprog fprog = {(unsigned short)job.insns, insns};
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            long installed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog);
            results[0] = installed == -1 ? -errno : installed;
            if (results[0] == 0)
                for (uint32_t i = 0; i < job.calls; i++)
                    results[1 + i] = make_call(&calls[i]);
            make_call(&(struct call){0, SYS_exit_group, {0}});
            __builtin_trap();
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 1;
        for (uint32_t i = 1; WIFSIGNALED(status) && i <= job.calls; i++)
            if (results[i] == NOT_REACHED) {
                results[i] = KILLED + WTERMSIG(status);
                break;
            }
        if (fwrite(results, sizeof *results, 1 + job.calls, stdout) != 1 + job.calls)
            return 1;
    }
    return fflush(stdout) != 0;
}
