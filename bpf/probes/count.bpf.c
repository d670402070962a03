/* What tracing costs, as the kernel sees it: system calls, ptrace-stops, switches, migrations.
 *
 * Compiled by bcc, whose macros declare maps and programs; registers.bpf.h and tree.bpf.h stand
 * before this text. No structure of the kernel is looked into whose layout depends on its version.
 */

enum { TASK_TRACED = 8 }; /* __TASK_TRACED of the kernel's <linux/sched.h> */
/* SIGCHLD, CLD_TRAPPED and CLD_STOPPED. A member's state is the code of the last that it sent,
 * until it sleeps. */
enum { SIGNAL_CHILD = 17, TRAPPED = 4, STOPPED = 5 };
enum { SYS_IOCTL = 16 };
#define NOTIF_RECV 0xc0502100 /* SECCOMP_IOCTL_NOTIF_RECV of <linux/seccomp.h> */

/* count.py reads them, in this order. */
enum {
	STOPS,
	SIGNALLED_STOPS,
	NOTIFICATIONS,
	TRACEE_SWITCHES,
	TRACEE_MIGRATIONS,
	TRACER_SWITCHES,
	TRACER_MIGRATIONS,
	UNCOUNTED_CALLS,
	COUNTERS
};

struct call {
	u32 arch;
	s32 number;
};

BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_PERCPU_HASH(calls, struct call, u64, 4096);

static __always_inline void count(u32 what)
{
	add(counters.lookup(&what), 1);
}

/* Its arguments are the registers and the number. Whatever a tracer or a filter has left out does
 * not come here, see syscall_trace_enter() of the kernel. */
RAW_TRACEPOINT_PROBE(sys_enter)
{
	struct member *member = current_member();
	struct registers regs;
	struct call call;
	u64 zero = 0, *made;

	if (!member || member->role != TRACEE)
		return 0;
	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]))
		return 0;
	call.arch = is_i386(&regs) ? I386 : X86_64;
	call.number = ctx->args[1];
	made = calls.lookup_or_try_init(&call, &zero);
	if (made)
		add(made, 1);
	else
		count(UNCOUNTED_CALLS);
	return 0;
}

/* User notifications are told to whoever listens, by this call and no other; seccomp_unotify(2). */
RAW_TRACEPOINT_PROBE(sys_exit)
{
	struct member *member = current_member();
	struct registers regs;

	if (!member || member->role != TRACER || ctx->args[1])
		return 0;
	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]))
		return 0;
	if (regs.orig_rax == SYS_IOCTL && (u32)regs.rsi == NOTIF_RECV)
		count(NOTIFICATIONS);
	return 0;
}

/* A stop tells the tracer by SIGCHLD, and the thread sleeps until it is resumed; ptrace_stop() of
 * the kernel. The arguments are the signal, its siginfo, the receiver, whether it is for a process,
 * and what became of it: one that is pending already is told as well.
 *
 * CLD_STOPPED is also sent to a parent that is no tracer, and by threads that are not traced: only
 * the sleep that follows can tell. */
RAW_TRACEPOINT_PROBE(signal_generate)
{
	struct member *member;
	int info[3] = {}; /* si_signo, si_errno, si_code; sigaction(2) */

	if ((int)ctx->args[0] != SIGNAL_CHILD)
		return 0;
	member = current_member();
	if (!member || member->role != TRACEE)
		return 0;
	if (bpf_probe_read_kernel(info, sizeof(info), (void *)ctx->args[1]))
		return 0;
	if (info[2] == TRAPPED) {
		count(SIGNALLED_STOPS);
		member->state = TRAPPED;
	} else if (info[2] == STOPPED && !member->state) {
		member->state = STOPPED;
	}
	return 0;
}

/* Its arguments are whether this is a preemption, the thread that runs, the one that will, and the
 * state of the first, which it keeps if it is preempted on the way to sleep. There are four since
 * Linux 5.19, kernel commit 9c2136be0878. */
RAW_TRACEPOINT_PROBE(sched_switch)
{
	struct member *member = current_member();

	if (!member)
		return 0;
	if (member->role == TRACER) {
		count(TRACER_SWITCHES);
		return 0;
	}
	count(TRACEE_SWITCHES);
	if ((bool)ctx->args[0])
		return 0;
	if (ctx->args[3] & TASK_TRACED) {
		count(STOPS);
		if (member->state == STOPPED)
			count(SIGNALLED_STOPS);
	}
	member->state = 0;
	return 0;
}

/* Its arguments are the thread and the CPU that it goes to. */
RAW_TRACEPOINT_PROBE(sched_migrate_task)
{
	struct member *member = member_of(ctx->args[0]);

	if (member)
		count(member->role == TRACER ? TRACER_MIGRATIONS : TRACEE_MIGRATIONS);
	return 0;
}
