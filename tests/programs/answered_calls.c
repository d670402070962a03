/* Make the calls of a script; none reaches the kernel's code: a seccomp notifier answers each.
 *
 * Usage: answered_calls SCRIPT
 *
 * A record of the script says what the call is, what memory it finds, what is written there while
 * it "runs", and what it returns. So a tracer sees any call with any arguments, any memory and any
 * result, and two tracers see exactly the same. The memory is one arena at a fixed address with
 * nothing mapped around it. A random word of 32 bits may also point to what else is mapped, so that
 * is not placed at random: heap, stacks and vdso are where they were in every other run.
 *
 * The calls of the script are made between write(-1, "BEGIN", 5) and write(-1, "END", 3). Before,
 * the program says "ready" and waits until standard input ends: a tracer can attach then. The
 * filter knows the calls by their instruction pointer.
 *
 * The notifier is a process that shares memory and descriptors, and is not traced. It ends with its
 * parent.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARENA 0x20000000UL
#define ARENA_SIZE 0x40000UL
#define SCRIPT 0x30000000UL
#define STACK_SIZE 0x10000UL

struct record {
	uint64_t number;
	uint64_t arguments[6];
	int64_t result;
	/* How many patches follow: applied before the call, and while it runs. */
	uint32_t before;
	uint32_t after;
};

struct patch {
	uint32_t offset;
	uint32_t size;
};

static volatile int listener = -1;
static pid_t tracee;
static const char *script, *end;

extern char after_call[];
long make_call(long number, const uint64_t *arguments);

#ifdef __x86_64__
__asm__(".text\n"
	".globl make_call, after_call\n"
	"make_call:\n"
	"	push %rbx\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rbx\n"
	"	mov 0(%rbx), %rdi\n"
	"	mov 8(%rbx), %rsi\n"
	"	mov 16(%rbx), %rdx\n"
	"	mov 24(%rbx), %r10\n"
	"	mov 32(%rbx), %r8\n"
	"	mov 40(%rbx), %r9\n"
	"	syscall\n"
	"after_call:\n"
	"	pop %rbx\n"
	"	ret\n");
#else
__asm__(".text\n"
	".globl make_call, after_call\n"
	"make_call:\n"
	"	push %ebx\n"
	"	push %esi\n"
	"	push %edi\n"
	"	push %ebp\n"
	"	mov 20(%esp), %eax\n"
	"	mov 24(%esp), %ebp\n"
	"	mov 0(%ebp), %ebx\n"
	"	mov 8(%ebp), %ecx\n"
	"	mov 16(%ebp), %edx\n"
	"	mov 24(%ebp), %esi\n"
	"	mov 32(%ebp), %edi\n"
	"	mov 40(%ebp), %ebp\n"
	"	int $0x80\n"
	"after_call:\n"
	"	pop %ebp\n"
	"	pop %edi\n"
	"	pop %esi\n"
	"	pop %ebx\n"
	"	ret\n");
#endif

/* The notifier has no errno of its own: it shares the thread-local storage of the tracee. */
static long raw_call(long number, long first, long second, long third)
{
	long result;

#ifdef __x86_64__
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third)
			 : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory");
#endif
	return result;
}

static const char *patches(const char *at, uint32_t count, int apply)
{
	while (count--) {
		struct patch patch;

		memcpy(&patch, at, sizeof(patch));
		at += sizeof(patch);
		if (apply)
			memcpy((char *)ARENA + patch.offset, at, patch.size);
		at += patch.size;
	}
	return at;
}

static const char *next(const char *at, struct record *record)
{
	memcpy(record, at, sizeof(*record));
	return at + sizeof(*record);
}

static int answer(void *unused)
{
	const char *at = script;

	(void)unused;
	raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
	/* That comes too late for a death before it. */
	if (raw_call(SYS_getppid, 0, 0, 0) != tracee)
		raw_call(SYS_exit_group, 1, 0, 0);
	while (listener < 0)
		raw_call(SYS_sched_yield, 0, 0, 0);
	while (at < end) {
		struct record record;
		struct seccomp_notif notification;
		struct seccomp_notif_resp response;

		memset(&notification, 0, sizeof(notification));
		memset(&response, 0, sizeof(response));
		if (raw_call(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, (long)&notification) < 0)
			raw_call(SYS_exit_group, 1, 0, 0);
		at = next(at, &record);
		at = patches(at, record.before, 0);
		at = patches(at, record.after, 1);
		response.id = notification.id;
		if (record.result < 0 && record.result > -4096)
			response.error = record.result;
		else
			response.val = record.result;
		raw_call(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_SEND, (long)&response);
	}
	raw_call(SYS_exit_group, 0, 0, 0);
	return 0;
}

/* Begin anew, with nothing placed at random. */
static int place(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona & ADDR_NO_RANDOMIZE)
		return 0;
	personality(persona | ADDR_NO_RANDOMIZE);
	/* A container may forbid it. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE))
		return -1;
	return execv("/proc/self/exe", argv);
}

/* Map memory where nothing is: not even a heap, which MAP_FIXED would take away. */
static void *map(unsigned long address, size_t size, int protection, int flags, int file)
{
	void *at = (void *)address;

	return mmap(at, size, protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE | flags, file, 0);
}

static int install(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uintptr_t)after_call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = filter };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		       &program);
}

int main(int argc, char **argv)
{
	char *stack, end_of_input;
	struct stat status;
	const char *at;
	int file, installed;

	if (place(argv))
		return 7;
	file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (file < 0 || fstat(file, &status))
		return 2;
	script = map(SCRIPT, status.st_size, PROT_READ, 0, file);
	close(file);
	stack = mmap(0, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (script == MAP_FAILED || stack == MAP_FAILED ||
	    map(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1) == MAP_FAILED)
		return 3;
	end = script + status.st_size;
	tracee = getpid();
	if (clone(answer, stack + STACK_SIZE - 64, CLONE_VM | CLONE_FILES | SIGCHLD, 0) < 0)
		return 4;
	installed = install();
	if (installed < 0)
		return 5;
	if (write(1, "ready", 5) != 5 || read(0, &end_of_input, 1) != 0 ||
	    write(-1, "BEGIN", 5) != -1)
		return 6;
	listener = installed;
	for (at = script; at < end;) {
		struct record record;

		at = next(at, &record);
		at = patches(at, record.before, 1);
		at = patches(at, record.after, 0);
		make_call(record.number, record.arguments);
	}
	return write(-1, "END", 3) == -1 ? 0 : 6;
}
