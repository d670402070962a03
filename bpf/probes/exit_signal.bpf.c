/* Exit-only by signal: SIGTRAP to an armed thread whose system call has returned and is selected.
 *
 * Compiled by bcc, whose macros declare maps and programs; registers.bpf.h stands before this text,
 * and what selected() does is generated and follows it. No structure of the kernel is looked into
 * whose layout depends on its version.
 */

enum { SIGNAL_TRAP = 5 };

/* exit_signal.py reads it: no holes. */
struct sample {
	u64 time_ns;
	s64 result;
	u64 arguments[6];
	u64 instruction_pointer;
	u64 stack_pointer;
	u32 tid;
	u32 arch;
	s32 number;
	u32 unused;
};

BPF_HASH(armed, u32, u8, 32768);
BPF_RINGBUF_OUTPUT(samples, 64); /* pages of 4096 bytes: 2520 samples */
BPF_ARRAY(lost, u64, 1);

static __always_inline bool selected(const struct sample *call);

static __always_inline void describe(struct sample *call, const struct registers *regs)
{
	bool i386 = is_i386(regs);

	call->number = (s32)regs->orig_rax;
	call->instruction_pointer = regs->rip;
	call->stack_pointer = regs->rsp;
	call->arch = i386 ? I386 : X86_64;
	read_arguments(call->arguments, regs, i386);
}

/* Every call of every process on the host comes here: threads that are not armed leave first. */
RAW_TRACEPOINT_PROBE(sys_exit)
{
	u32 tid = bpf_get_current_pid_tgid(), first = 0;
	struct registers regs;
	struct sample call;
	u64 *count;

	if (!armed.lookup(&tid))
		return 0;
	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]))
		return 0;
	__builtin_memset(&call, 0, sizeof(call));
	call.result = (s64)ctx->args[1];
	describe(&call, &regs);
	if (!selected(&call))
		return 0;
	call.tid = tid;
	call.time_ns = bpf_ktime_get_ns();
	/* The sample first: whoever sees the stop finds it. Without one its tracer would take the
	 * signal for the program's own, and deliver it. Nobody polls, so nobody is woken. */
	if (samples.ringbuf_output(&call, sizeof(call), BPF_RB_NO_WAKEUP)) {
		count = lost.lookup(&first);
		if (count)
			lock_xadd(count, 1);
		return 0;
	}
	bpf_send_signal_thread(SIGNAL_TRAP);
	return 0;
}

/* A tid that is free again may become that of a thread that nobody traces, and SIGTRAP kills. */
RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	u32 tid = bpf_get_current_pid_tgid();

	armed.delete(&tid);
	return 0;
}

/* A thread that executes a program gets its leader's tid, and the leader has gone; execve(2) under
 * ptrace(2). The arguments are the task, its former tid, and the program. */
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	u32 tid = bpf_get_current_pid_tgid(), former = ctx->args[1];
	u8 yes = 1;

	if (former != tid && armed.lookup(&former)) {
		armed.delete(&former);
		armed.update(&tid, &yes);
	}
	return 0;
}
