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
#define NO_WAIT 0x01000000 /* WNOWAIT of <linux/wait.h> */

/* A member's state: the code of the SIGCHLD that it sent; whether it sleeps in a stop; whether that
 * is its first, of which a wait may have told before its tid was known; and whether it sleeps in a
 * stop of job control, untraced. Waits are added up in told, and known is how many were taken into
 * account, as they come on another CPU and at any time. */
enum { CODE = 7, ASLEEP = 8, FIRST = 16, JOB = 32 };

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
	u64 task = bpf_get_current_task();
	int info[3] = {}; /* si_signo, si_errno, si_code; sigaction(2) */

	if ((int)ctx->args[0] != SIGNAL_CHILD)
		return 0;
	if (bpf_probe_read_kernel(info, sizeof(info), (void *)ctx->args[1]))
		return 0;
	if (info[2] != TRAPPED && !(info[2] == STOPPED && !(member->state & CODE)))
		return 0;
	member->state = info[2];
	if (member->tid != tid) {
		member->state |= FIRST;
		member->tid = tid;
		tids.update(&tid, &task);
	}
	member->tracer = ctx->args[2];
	member->stopped_ns = bpf_ktime_get_ns();
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
		if (!code)
			member->stopped_ns = bpf_ktime_get_ns();
		return code ? code : TASK_TRACED;
	}
	member->state = code == STOPPED ? JOB : 0;
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

/* The thread of whose stop a call has told that has these registers and this result; 0 if none. */
static __always_inline u32 told_tid(const struct registers *regs, s64 result)
{
	int info[5] = {}; /* si_signo, si_errno, si_code, a hole, si_pid; sigaction(2) */
	bool is_compat = is_i386(regs);
	u32 status = 0;
	void *address;

	if (!is_compat && regs->orig_rax == SYS_WAITID) {
		if (result || regs->r10 & NO_WAIT ||
		    bpf_probe_read_user(info, sizeof(info), (void *)regs->rdx))
			return 0;
		return info[2] == TRAPPED || info[2] == STOPPED ? info[4] : 0;
	}
	if (result <= 0 || regs->rdx & NO_WAIT || is_compat == (regs->orig_rax == SYS_WAIT4))
		return 0;
	address = (void *)(is_compat ? (u32)regs->rcx : regs->rsi);
	if (bpf_probe_read_user(&status, sizeof(status), address))
		return 0;
	return (status & 0xff) == 0x7f ? result : 0; /* WIFSTOPPED; wait(2) */
}

/* Take note of a call that returns, and tell whether it has told a tracer of a tracee's stop. */
static __always_inline bool told(const struct registers *regs, s64 result)
{
	u32 tid = told_tid(regs, result);
	struct member *member;
	u64 *task;

	if (!tid)
		return false;
	task = tids.lookup(&tid);
	if (!task)
		return false;
	member = member_of(*task);
	if (!member || member->tid != tid || member->state & JOB ||
	    member->tracer != bpf_get_current_task())
		return false;
	member->told_ns = bpf_ktime_get_ns();
	lock_xadd(&member->told, 1);
	return true;
}

enum resumption { NO_STOP, UNSEEN, SEEN, FIRST_SEEN };

/* Take note of a thread that is woken, and tell whether that ends a stop that the tracer knew of.
 *
 * If the tracer did not, a SIGKILL ended the stop; or the tracer has resumed the thread as if from
 * the stop before, which a SIGKILL had ended. FIRST_SEEN: no wait has told of this one, but the
 * tracer ends it. */
static __always_inline enum resumption resumed(struct member *member)
{
	u64 told;
	u32 state;

	if (!member || !(member->state & ASLEEP))
		return NO_STOP;
	state = member->state;
	member->state = 0;
	told = member->told;
	if (told != member->known) {
		member->known = told;
		return SEEN;
	}
	if (!(state & FIRST) || member->tracer != bpf_get_current_task())
		return UNSEEN;
	member->told_ns = member->stopped_ns;
	return FIRST_SEEN;
}
