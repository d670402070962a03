/* A ptrace-stop from beginning to end, for threads that tree.bpf.h follows.
 *
 * Text that stands between it and a program's own, which calls these functions at the tracepoints
 * that their names tell. A stop is, in ptrace_stop() of the kernel: SIGCHLD to the tracer
 * (signal_generate: signalled), sleep in TASK_TRACED (sched_switch: slept), the return of the
 * tracer's wait (sys_exit: told), and the wakeup (sched_waking: resumed). The tracer may wait while
 * the tracee is on its way to sleep, and on another CPU even return from that before the SIGCHLD;
 * but it has to let the tracee sleep before it can do anything with it.
 */

enum { TASK_TRACED = 8 };                             /* __TASK_TRACED of <linux/sched.h> */
enum { SIGNAL_CHILD = 17, TRAPPED = 4, STOPPED = 5 }; /* SIGCHLD, CLD_TRAPPED and CLD_STOPPED */
enum { SYS_WAIT4 = 61, SYS_WAITID = 247, I386_WAITPID = 7, I386_WAIT4 = 114 };
enum { SI_PID = 16 }; /* the offset of si_pid in siginfo_t; sigaction(2) */

/* A member's state: the code of the SIGCHLD that it sent; whether it sleeps in a stop; whether a
 * wait has told of it before the SIGCHLD; and whether that could not be known. */
enum { CODE = 7, ASLEEP = 8, EARLY = 16, FIRST = 32 };
enum { LATELY = 1000000 }; /* nanoseconds */

/* By tid: threads that have stopped. Old entries are known by the member's tid. */
BPF_TABLE("lru_hash", u32, u64, tids, 32768);

/* Take note of a signal that a tracee generates; return its code if it may be a stop's.
 *
 * The arguments are the signal, its siginfo, the receiver, whether it is for a process, and what
 * became of it: one that is pending already is told as well. CLD_TRAPPED is a stop's; CLD_STOPPED
 * is a group-stop's, and also what a parent gets that is no tracer, after the tracer: only the sleep
 * that follows can tell. */
static __always_inline u32 signalled(struct member *member, struct bpf_raw_tracepoint_args *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 task = bpf_get_current_task(), now;
	int info[3] = {}; /* si_signo, si_errno, si_code; sigaction(2) */
	bool is_told;

	if ((int)ctx->args[0] != SIGNAL_CHILD)
		return 0;
	if (bpf_probe_read_kernel(info, sizeof(info), (void *)ctx->args[1]))
		return 0;
	if (info[2] != TRAPPED && !(info[2] == STOPPED && !(member->state & CODE)))
		return 0;
	now = bpf_ktime_get_ns();
	is_told = member->state & EARLY && now - member->told_ns < LATELY;
	member->state = info[2];
	if (member->tid != tid) {
		member->state |= FIRST;
		member->tid = tid;
		tids.update(&tid, &task);
	}
	member->tracer = ctx->args[2];
	member->stopped_ns = now;
	member->told_ns = is_told ? now : 0;
	return info[2];
}

/* Take note of a switch from a tracee; if it sleeps in a stop now, return the code of its SIGCHLD,
 * or TASK_TRACED if it has sent none. A thread that is preempted keeps its state, and goes on. */
static __always_inline u32 slept(struct member *member, struct bpf_raw_tracepoint_args *ctx)
{
	u32 code = member->state & CODE;

	if ((bool)ctx->args[0])
		return 0;
	if (ctx->args[3] & TASK_TRACED) {
		member->state |= ASLEEP;
		if (!code) {
			member->stopped_ns = bpf_ktime_get_ns();
			member->told_ns = 0;
		}
		return code ? code : TASK_TRACED;
	}
	member->state = 0;
	return 0;
}

/* Read a system call's registers, where it may be one that a tracer is told by, or ``also``: cheap
 * for all the others of the host. */
static __always_inline bool may_tell(struct registers *regs, u64 address, u64 also)
{
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number),
			      (void *)address + offsetof(struct registers, orig_rax));
	if (number != SYS_WAIT4 && number != SYS_WAITID && number != I386_WAITPID &&
	    number != I386_WAIT4 && number != also)
		return false;
	return !bpf_probe_read_kernel(regs, sizeof(*regs), (void *)address);
}

/* Take note of a wait that tells of a stop: the call with these registers has this result. */
static __always_inline void told(const struct registers *regs, s64 result)
{
	bool is_compat = is_i386(regs);
	struct member *member;
	u32 tid = result;
	u64 *task;

	if (result < 0)
		return;
	if (!is_compat && regs->orig_rax == SYS_WAITID) {
		if (bpf_probe_read_user(&tid, sizeof(tid), (void *)(regs->rdx + SI_PID)))
			return;
	} else if (is_compat ? regs->orig_rax == SYS_WAIT4 : regs->orig_rax != SYS_WAIT4) {
		return;
	}
	task = tids.lookup(&tid);
	if (!task)
		return;
	member = member_of(*task);
	if (!member || member->tid != tid)
		return;
	if (!(member->state & CODE)) {
		member->state |= EARLY;
		member->told_ns = bpf_ktime_get_ns();
	} else if (!member->told_ns) {
		member->told_ns = bpf_ktime_get_ns();
	}
}

/* Take note of a thread that is woken; return it if that ends a stop. Its told_ns is then 0 if the
 * tracer did not know of the stop: a SIGKILL ended it, or the tracer resumed the thread from the
 * stop before, which a SIGKILL had ended. */
static __always_inline struct member *resumed(u64 task)
{
	struct member *member = member_of(task);
	u32 state;

	if (!member || !(member->state & ASLEEP))
		return NULL;
	state = member->state;
	member->state = 0;
	if (!member->told_ns && state & FIRST && member->tracer == bpf_get_current_task())
		member->told_ns = member->stopped_ns;
	return member;
}
