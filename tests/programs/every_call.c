/* Enter the kernel once with every system call number of x86_64, or with -DI386 of i386 through
 * int 0x80, all arguments zero.
 *
 * Nothing is executed: a seccomp filter answers ENOSYS to every call, but a tracer still sees each
 * syscall-entry-stop, because ptrace comes before seccomp (since Linux 4.8). The program uses no
 * libc, so these calls are all it makes; even exit is refused, so it ends by an illegal instruction.
 *
 * uretprobe and uprobe are left out: the kernel lets the former pass every filter and kills the
 * caller that is not its trampoline.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

enum { CALLS = 512, PRCTL = 157, SECCOMP = 317, URETPROBE = 335, UPROBE = 336 };

static long call_x86_64(long number, long first, long second, long third)
{
	long result;
	register long fourth __asm__("r10") = 0;
	register long fifth __asm__("r8") = 0;
	register long sixth __asm__("r9") = 0;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(fourth),
			   "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
}

#ifdef I386
static void call(long number)
{
	/* The sixth argument would be in ebp, which the compiler keeps for itself. */
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
			 : "r8", "r9", "r10", "r11", "memory");
}
#else
static void call(long number)
{
	if (number != URETPROBE && number != UPROBE)
		call_x86_64(number, 0, 0, 0);
}
#endif

void _start(void)
{
	struct sock_filter refuse[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS) };
	struct sock_fprog program = { .len = 1, .filter = refuse };

	if (call_x86_64(PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0) == 0 &&
	    call_x86_64(SECCOMP, SECCOMP_SET_MODE_FILTER, 0, (long)&program) == 0) {
		for (long number = 0; number < CALLS; number++)
			call(number);
	}
	__builtin_trap();
}
