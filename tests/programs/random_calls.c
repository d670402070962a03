/* Makes the calls that standard input lists, for tests/integration/test_random_rules.py.
 *
 * Standard input and output are files in memory, and are mapped: whatever is decided about read(2)
 * and write(2), the calls are read and their results are told. For the same reason there is no libc
 * here. Input: struct job, its calls, its regions. Output: one 64-bit result for each call. */
#include <stdint.h>

enum { SIZE = 1 << 16, PAGE = 4096, BYTES = 48 };
enum { SYS_mmap = 9, SYS_exit_group = 231 };
enum { PROT_READ = 1, PROT_WRITE = 2, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANON = 32 };

struct call {
    int32_t compat; /* int 0x80 instead of syscall */
    int32_t nr;
    uint64_t args[6];
};

/* Memory that arguments point to: it lies within a page, which is mapped, and ends where it ends. */
struct region {
    uint64_t address, size;
    unsigned char bytes[BYTES];
};

struct job {
    uint32_t calls, regions;
};

static int64_t make_call(const struct call *call)
{
    int64_t result = call->nr;
    if (call->compat) {
        /* ebp would be the sixth argument: no rule looks at it. */
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

static void *map(uint64_t address, uint64_t size, uint64_t flags, uint64_t fd)
{
    struct call call = {0, SYS_mmap, {address, size, PROT_READ | PROT_WRITE, flags, fd, 0}};
    return (void *)make_call(&call);
}

__attribute__((force_align_arg_pointer, noreturn)) void _start(void)
{
    const struct job *job = map(0, SIZE, MAP_PRIVATE, 0);
    int64_t *results = map(0, SIZE, MAP_SHARED, 1);
    const struct call *calls = (const void *)(job + 1);
    const struct region *regions = (const void *)(calls + job->calls);
    struct call end = {0, SYS_exit_group, {0}};
    for (uint32_t i = 0; i < job->regions; i++) {
        uint64_t page = regions[i].address & ~(uint64_t)(PAGE - 1);
        volatile unsigned char *bytes = (void *)regions[i].address;
        if ((uint64_t)map(page, PAGE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1) != page)
            end.args[0] = 1;
        else
            for (uint64_t at = 0; at < regions[i].size; at++)
                bytes[at] = regions[i].bytes[at];
    }
    for (uint32_t i = 0; i < job->calls; i++)
        results[i] = make_call(&calls[i]);
    make_call(&end);
    __builtin_trap();
}
