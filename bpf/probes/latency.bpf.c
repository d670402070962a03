/* How long ptrace-stops last, and for whom the tracee waits meanwhile, as log2 histograms.
 *
 * Compiled by bcc, whose macros declare maps and programs; registers.bpf.h, tree.bpf.h and
 * stops.bpf.h stand before this text. No structure of the kernel is looked into whose layout depends
 * on its version.
 */

/* latency.py reads them, in this order. */
enum { WHOLE, WAITING, WORK, PARTS };
enum { SLOTS = 64 };

BPF_PERCPU_ARRAY(slots, u64, PARTS *SLOTS);
/* Nanoseconds of each part; and after them, how many stops the tracer was not told of. */
BPF_PERCPU_ARRAY(totals, u64, PARTS + 1);

/* Slot n has what takes n bits: from 2^(n-1) to 2^n - 1 nanoseconds. */
static __always_inline void took(u32 part, u64 ns)
{
	u32 slot = bpf_log2l(ns);

	slot = part * SLOTS + (slot < SLOTS ? slot : SLOTS - 1);
	add(slots.lookup(&slot), 1);
	add(totals.lookup(&part), ns);
}

RAW_TRACEPOINT_PROBE(signal_generate)
{
	struct member *member = current_member();

	if (member && member->role == TRACEE)
		signalled(member, ctx);
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_switch)
{
	struct member *member = current_member();

	if (member && member->role == TRACEE)
		slept(member, ctx);
	return 0;
}

RAW_TRACEPOINT_PROBE(sys_exit)
{
	struct registers regs;

	if (may_tell(&regs, ctx->args[0], SYS_WAIT4))
		told(&regs, ctx->args[1]);
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	struct member *member = member_of(ctx->args[0]);
	enum resumption how = resumed(member);
	u64 now = bpf_ktime_get_ns(), told_ns;
	u32 unseen = PARTS;

	if (!how || !member)
		return 0;
	took(WHOLE, now - member->stopped_ns);
	if (how == UNSEEN) {
		add(totals.lookup(&unseen), 1);
		return 0;
	}
	/* On another CPU the wait may return before the SIGCHLD that it would wait for. */
	told_ns = member->told_ns > member->stopped_ns ? member->told_ns : member->stopped_ns;
	took(WAITING, told_ns - member->stopped_ns);
	took(WORK, now - told_ns);
	return 0;
}
