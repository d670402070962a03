/* What tracing costs, as the kernel sees it: system calls, ptrace-stops, switches, migrations.
 *
 * Compiled by bcc, whose macros declare maps and programs; registers.bpf.h, tree.bpf.h and
 * stops.bpf.h stand before this text. No structure of the kernel is looked into whose layout depends on its version.
 */

enum { SYS_IOCTL = 16 };
#define NOTIF_RECV 0xc0502100 /* SECCOMP_IOCTL_NOTIF_RECV of <linux/seccomp.h> */

/* count.py reads them, in this order. */
enum {
	STOPS,
	SIGNALLED_STOPS,
	TOLD_STOPS,
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
static __always_inline bool receives_notification(const struct registers *regs, s64 result)
{
	return !result && regs->orig_rax == SYS_IOCTL && (u32)regs->rsi == NOTIF_RECV;
}

/* Its arguments are the registers and the result. */
RAW_TRACEPOINT_PROBE(sys_exit)
{
	s64 result = ctx->args[1];
	struct registers regs;
	struct member *member;

	if (!may_tell(&regs, ctx->args[0], SYS_IOCTL))
		return 0;
	if (!receives_notification(&regs, result)) {
		if (told(&regs, result))
			count(TOLD_STOPS);
		return 0;
	}
	member = current_member();
	if (member && member->role == TRACER)
		count(NOTIFICATIONS);
	return 0;
}

RAW_TRACEPOINT_PROBE(signal_generate)
{
	struct member *member = current_member();

	if (member && member->role == TRACEE && signalled(member, ctx) == TRAPPED)
		count(SIGNALLED_STOPS);
	return 0;
}

/* Its arguments are whether this is a preemption, the thread that runs, the one that will, and the
 * state of the first. There are four since Linux 5.19, kernel commit 9c2136be0878. */
RAW_TRACEPOINT_PROBE(sched_switch)
{
	struct member *member = current_member();
	u32 code;

	if (!member)
		return 0;
	if (member->role == TRACER) {
		count(TRACER_SWITCHES);
		return 0;
	}
	count(TRACEE_SWITCHES);
	code = slept(member, ctx);
	if (code)
		count(STOPS);
	if (code == STOPPED)
		count(SIGNALLED_STOPS);
	return 0;
}

/* Its argument is the thread that is woken. */
RAW_TRACEPOINT_PROBE(sched_waking)
{
	if (resumed(member_of(ctx->args[0])) == FIRST_SEEN)
		count(TOLD_STOPS);
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
