/* A trace without stops: the selected calls of a process tree, written to a ring as they happen.
 *
 * Compiled by bcc, whose macros declare maps and programs; RING_PAGES is defined in front, and
 * registers.bpf.h stands there. What is selected is data, so that one program serves every mask. No
 * structure of the kernel is looked into whose layout depends on its version: tasks are told apart
 * by their address, registers and siginfo are as user space is promised them.
 */

enum { TABLE_X86_64, TABLE_I386 };         /* accel.records.ABIS */
enum { NUMBERS = 1024 };                   /* more than either ABI has */
enum { X32_BIT = 0x40000000 };             /* __X32_SYSCALL_BIT of <asm/unistd.h> */
enum { IO_URING_SETUP = 425 };             /* in both ABIs */
enum { EXECVE = 59, EXIT = 60, EXIT_GROUP = 231, I386_EXIT = 1, I386_EXIT_GROUP = 252 };
enum { KILL = 9, SIG_DFL = 0 };
enum { RECORDS_A_WAKE = 512 };

/* Flags of a call: accel.records. */
enum { CAPTURED = 0x3f, ENTERED = 1 << 6, RETURNED = 1 << 8, UNTERMINATED = 1 << 15 };
enum { MAX_STRINGS = 3, STRING_LIMIT = 4096 };
/* What is to be done with a call, above the bits of its arguments that are strings. */
enum { SELECTED = 1 << 6, ENTRY_ONLY = 1 << 7, RULE_SHIFT = 8 };

/* What an event is, in its `kind`: bpf.probes.observe.Kind. */
enum { CALL, ATTACHED, EXECUTED, ENDED, DELIVERED, GENERATED, EXITING, FOREIGN, WATCHED };
/* How a thread ended, in the flags of ENDED. */
enum { BY_CALL = 1, ZAPPED = 2 };

/* The 128 bytes of accel.records.LAYOUT, of a call; other events have what they tell in the same
 * fields. */
struct sample {
	s64 entered_ns, left_ns;
	s32 tid, pid, number;
	u8 arch, kind;
	u16 rule;
	u64 arguments[6];
	s64 result;
	u64 strings;
	u16 flags, string_sizes[MAX_STRINGS];
	u64 instruction_pointer, stack_pointer;
	u64 strings_end;
};

/* A thread of the tree. Only the thread itself writes to it, once it runs. */
struct member {
	/* The call that it is in, if any. */
	struct sample call;
	u64 clone_flags;
	u32 parent_tid, parent_pid;
	/* 0 until it is seen to run. */
	u32 tid, pid;
	/* The status that its exit or exit_group gave. */
	u32 status;
	/* The last signal that was delivered and not handled, since its last call that is not passed
	 * over. */
	u32 signal;
	/* is_new: in the call that made it, or in which it was found. */
	u8 is_launching, is_new, is_inside, is_selected, is_cut, is_ending, is_zapped, has_lost;
};

/* A call with what its arguments point to, as it goes into the ring. */
struct page {
	struct sample call;
	char strings[4 * STRING_LIMIT + STRING_LIMIT + 64];
};

/* No compiler may take this away, as then the kernel could not see that the value is bounded. */
#define BOUNDED(value) ({ \
	u64 seen = value; \
	asm volatile("" : "+r"(seen)); \
	seen & (4 * STRING_LIMIT - 1); \
})

struct key {
	u32 arch;
	s32 number;
};

struct count {
	u64 calls, errors, nanoseconds;
};

/* What the reader asks for: bpf.probes.observe has the same. */
struct settings {
	/* The thread whose next child is the root of the tree, if any. */
	u32 launcher;
	/* Added to the flags of each call. */
	u16 call_flags;
	/* Whether calls are written, and not counted alone; and each when it begins, too. */
	u8 has_records, has_beginnings;
	/* What is done with numbers from NUMBERS. */
	u16 unnamed, unused[3];
	/* How many threads the reader has named, or is about to, in `seeds`. */
	u64 seeded;
	/* A bit for each number of which something is to be done, in either ABI. */
	u64 noted[NUMBERS / 64];
	u16 numbers[2 * NUMBERS];
};

/* Threads, ever: those that the reader named and were seen, their descendants, who has ended, and
 * who should be here and is not, for want of room. */
struct totals {
	u64 adopted, followed, ended, unfollowed;
};

struct written {
	/* What the ring had no room for. */
	u64 lost_calls, lost_events;
	u64 records;
};

BPF_HASH(members, u64, struct member, 32768); /* by the address of the task */
BPF_HASH(seeds, u32, u8, 32768);              /* tids of threads that are to become members */
BPF_ARRAY(blank, struct member, 1);
BPF_ARRAY(settings, struct settings, 1);
BPF_ARRAY(totals, struct totals, 1);
BPF_PERCPU_ARRAY(written, struct written, 1);
BPF_PERCPU_ARRAY(pages, struct page, 1);
BPF_PERCPU_HASH(counts, struct key, struct count, NUMBERS);
BPF_RINGBUF_OUTPUT(samples, RING_PAGES);

/* ------------------------------------------------------------------------------ the tree */

static __always_inline struct settings *asked(void)
{
	u32 first = 0;

	return settings.lookup(&first);
}

static __always_inline struct totals *sum(void)
{
	u32 first = 0;

	return totals.lookup(&first);
}

static __always_inline void lose(bool is_call)
{
	u32 first = 0;
	struct written *found = written.lookup(&first);

	if (found && is_call)
		found->lost_calls += 1;
	else if (found)
		found->lost_events += 1;
}

/* Nobody is woken by each record: the reader looks now and then, and sooner when they are many. */
static __always_inline u64 waking(void)
{
	u32 first = 0;
	struct written *found = written.lookup(&first);

	if (!found)
		return BPF_RB_NO_WAKEUP;
	found->records += 1;
	return found->records % RECORDS_A_WAKE ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
}

static __always_inline struct member *add_member(u64 address)
{
	u32 first = 0;
	struct member *empty = blank.lookup(&first);

	if (!empty || members.update(&address, empty))
		return 0;
	return members.lookup(&address);
}

/* Whether threads that were named have not been seen: each call may be their first. */
static __always_inline bool expects(const struct settings *asked)
{
	struct totals *all;

	if (!asked->seeded)
		return false;
	all = sum();
	return all && all->adopted < asked->seeded;
}

/* A thread that was there before and is seen for the first time. */
static __always_inline struct member *adopt(u64 address)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct settings *asked_for = asked();
	struct totals *all = sum();
	struct member *found;

	if (!asked_for || !all || !expects(asked_for) || seeds.delete(&tid))
		return 0;
	lock_xadd(&all->adopted, 1);
	found = add_member(address);
	if (!found) {
		lock_xadd(&all->ended, 1);
		lock_xadd(&all->unfollowed, 1);
	}
	return found;
}

/* Whether a call is to be passed over: it is neither selected nor tells anything of its thread.
 *
 * Most calls are of that kind, and all that they cost is this: two cache lines, of which none is
 * written.
 */
static __always_inline bool is_passed_over(const struct settings *asked, u64 number)
{
	return number < NUMBERS && !(asked->noted[number / 64] >> number % 64 & 1) &&
	       !expects(asked);
}

static __always_inline struct member *current_member(void)
{
	u64 address = bpf_get_current_task();
	struct member *found = members.lookup(&address);

	return found ? found : adopt(address);
}

/* ------------------------------------------------------------------------------ events */

static __always_inline void tell(struct sample *event, u64 waking)
{
	u64 identity = bpf_get_current_pid_tgid();

	event->entered_ns = bpf_ktime_get_ns();
	if (!event->tid) {
		event->tid = identity;
		event->pid = identity >> 32;
	}
	if (samples.ringbuf_output(event, sizeof(*event), waking))
		lose(false);
}

/* Told by the thread itself, before anything else of it: its creator does not know its tid. */
static __always_inline void announce(struct member *task)
{
	u64 identity = bpf_get_current_pid_tgid();
	struct sample event = {.kind = ATTACHED};

	if (task->tid)
		return;
	task->tid = identity;
	task->pid = identity >> 32;
	task->is_new = 1;
	event.arguments[0] = task->parent_tid;
	event.arguments[1] = task->parent_pid;
	event.arguments[2] = task->clone_flags;
	tell(&event, waking());
}

/* ------------------------------------------------------------------------------ calls */

static __always_inline void describe(struct sample *call, const struct registers *regs)
{
	bool i386 = is_i386(regs);

	call->instruction_pointer = regs->rip;
	call->stack_pointer = regs->rsp;
	call->arch = i386 ? TABLE_I386 : TABLE_X86_64;
	read_arguments(call->arguments, regs, i386);
}

/* What is to be done with a call: SELECTED, whether to tell nothing but that it begins, which
 * arguments are strings, and its rule. */
static __always_inline u16 wanted(const struct settings *asked, const struct sample *call)
{
	u32 number = call->number;

	if (number >= NUMBERS)
		return asked->unnamed;
	return asked->numbers[(call->arch ? NUMBERS : 0) + (number & (NUMBERS - 1))];
}

/* Copies the strings behind `bits` of the call's arguments to `page`; 0 if one cannot be read.
 * Else the call has what Batch needs to find them, and the result is their size, and 1. */
static __always_inline u32 capture(struct page *page, struct sample *call, u32 bits)
{
	u32 end = 0, found = 0;
	u64 sizes = 0, size;
	long length;

	#pragma unroll
	for (int at = 0; at < 6; at++) {
		if (!(bits >> at & 1))
			continue;
		if (found >= MAX_STRINGS)
			return 0;
		length = bpf_probe_read_user_str(page->strings + BOUNDED(end), STRING_LIMIT + 1,
						 (void *)call->arguments[at]);
		if (length < 1)
			return 0;
		length -= 1; /* The NUL. */
		size = length < STRING_LIMIT ? length : STRING_LIMIT | UNTERMINATED;
		sizes |= size << (16 * found);
		end += length;
		found += 1;
	}
	call->string_sizes[0] = sizes;
	call->string_sizes[1] = sizes >> 16;
	call->string_sizes[2] = sizes >> 32;
	call->flags |= bits & CAPTURED;
	return end + 1;
}

static __always_inline struct page *blank_page(void)
{
	u32 first = 0;

	return pages.lookup(&first);
}

/* Writes a call with `size` bytes of strings; the page has these already. */
static __always_inline bool write_page(struct page *page, const struct sample *call, u32 size)
{
	page->call = *call;
	return !samples.ringbuf_output(page, sizeof(page->call) + BOUNDED(size), waking());
}

/* A call begins. What its arguments point to is read now, as the call may change it. */
static __always_inline void begin(struct member *task, const struct settings *asked, u16 choice)
{
	struct sample *call = &task->call;
	struct page *page = blank_page();
	bool is_all = choice & ENTRY_ONLY;
	u32 bits = choice & CAPTURED, size = 1;

	if (!page)
		return;
	if (bits) {
		size = capture(page, call, bits);
		/* Memory that is not there yet, or nowhere: the call itself may bring it. */
		task->is_cut = !size;
	}
	if (!is_all && (task->is_cut || !(bits || asked->has_beginnings)))
		return;
	call->flags |= is_all ? 0 : ENTERED;
	task->has_lost = !write_page(page, call, size ? size - 1 : 0);
	call->flags &= ~ENTERED;
	if (is_all) {
		task->is_selected = 0;
		if (task->has_lost)
			lose(true);
	}
}

/* A call has ended, or its thread has. What is told of it in part only counts as lost. */
static __always_inline void finish(struct member *task, const struct settings *asked)
{
	struct sample *call = &task->call;
	struct page *page;
	u32 size = 0;

	task->is_inside = 0;
	if (!task->is_selected || !asked->has_records)
		return;
	if (task->has_lost) {
		lose(true);
		return;
	}
	page = task->is_cut ? blank_page() : 0;
	if (page)
		size = capture(page, call, wanted(asked, call) & CAPTURED);
	if (page && size) {
		if (!write_page(page, call, size - 1))
			lose(true);
	} else if (samples.ringbuf_output(call, sizeof(*call), waking())) {
		lose(true);
	}
}

static __always_inline struct count *count_of(const struct sample *call)
{
	struct key key = {.arch = call->arch, .number = call->number};
	struct count none = {0, 0, 0};

	return counts.lookup_or_try_init(&key, &none);
}

/* What a call says of its thread's end, or of what cannot be seen. */
static __always_inline void judge(struct member *task)
{
	struct sample *call = &task->call;
	struct sample event = {};
	bool is_i386 = call->arch == TABLE_I386;
	s32 group = is_i386 ? I386_EXIT_GROUP : EXIT_GROUP;

	if (call->number == group || call->number == (is_i386 ? I386_EXIT : EXIT)) {
		task->status = (u8)call->arguments[0];
		task->is_ending = 1;
		event.kind = call->number == group ? EXITING : 0;
		event.result = task->status;
	} else if (call->number == IO_URING_SETUP) {
		event.kind = WATCHED;
	} else if (!is_i386 && call->number >= X32_BIT) {
		event.kind = FOREIGN;
	}
	event.number = call->number;
	if (event.kind)
		tell(&event, waking());
}

/* Takes note of a call, the one that the registers are of; tells what is to be done with it. */
static __always_inline u16 enter(struct member *task, const struct settings *asked,
				 const struct registers *regs, s32 number)
{
	struct sample *call = &task->call;
	u64 identity = bpf_get_current_pid_tgid();
	struct count *count;
	u16 choice;

	call->left_ns = 0;
	call->tid = identity;
	call->pid = identity >> 32;
	call->number = number;
	call->result = 0;
	call->flags = asked->call_flags;
	call->string_sizes[0] = call->string_sizes[1] = call->string_sizes[2] = 0;
	describe(call, regs);
	task->is_inside = 1;
	task->is_new = task->is_cut = task->has_lost = task->is_ending = 0;
	task->signal = 0;
	choice = wanted(asked, call);
	call->rule = choice >> RULE_SHIFT;
	/* Of what the launching child does besides to execute the command nobody wants to hear. */
	task->is_selected = choice & SELECTED && (!task->is_launching || number == EXECVE);
	call->entered_ns = bpf_ktime_get_ns();
	count = task->is_selected ? count_of(call) : 0;
	if (count)
		count->calls += 1;
	return choice;
}

RAW_TRACEPOINT_PROBE(sys_enter)
{
	struct settings *asked_for = asked();
	struct registers regs;
	struct member *task;
	u16 choice;

	if (!asked_for || is_passed_over(asked_for, ctx->args[1]))
		return 0;
	task = current_member();
	if (!task)
		return 0;
	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]))
		return 0;
	announce(task);
	choice = enter(task, asked_for, &regs, ctx->args[1]);
	if (task->is_selected && asked_for->has_records)
		begin(task, asked_for, choice);
	judge(task);
	return 0;
}

/* A call that has an exit only: a filter, or a tracer, has answered it, and it did not run. Its
 * registers are all there is to be seen of it. */
static __always_inline void enter_late(struct member *task, const struct settings *asked,
				       u64 address)
{
	struct registers regs;
	u16 choice;

	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)address))
		return;
	if ((s64)regs.orig_rax < 0)
		return;
	choice = enter(task, asked, &regs, regs.orig_rax);
	task->is_cut = (choice & CAPTURED) != 0;
}

RAW_TRACEPOINT_PROBE(sys_exit)
{
	struct settings *asked_for = asked();
	struct member *task;
	struct sample *call;
	struct count *count;
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number),
			      (void *)ctx->args[0] + offsetof(struct registers, orig_rax));
	if (!asked_for || is_passed_over(asked_for, number))
		return 0;
	task = current_member();
	if (!task)
		return 0;
	announce(task);
	if (!task->is_inside && !task->is_new)
		enter_late(task, asked_for, ctx->args[0]);
	task->is_new = 0;
	if (!task->is_inside)
		return 0;
	call = &task->call;
	call->result = ctx->args[1];
	call->left_ns = bpf_ktime_get_ns();
	call->flags |= RETURNED;
	if (task->is_selected) {
		count = count_of(call);
		if (count) {
			count->errors += call->result < 0 && call->result >= -4095;
			count->nanoseconds += call->left_ns - call->entered_ns;
		}
	}
	finish(task, asked_for);
	return 0;
}

/* ------------------------------------------------------------------------------ life */

/* The arguments are the new task, which does not run yet, and the flags of clone(2). */
RAW_TRACEPOINT_PROBE(task_newtask)
{
	struct settings *asked_for = asked();
	u64 identity = bpf_get_current_pid_tgid(), flags = ctx->args[1];
	struct member *parent = current_member(), *child;
	struct totals *all = sum();
	bool is_root;

	if (!asked_for || !all)
		return 0;
	is_root = asked_for->launcher && asked_for->launcher == (u32)identity;
	if (!parent && !is_root)
		return 0;
	child = add_member(ctx->args[0]);
	if (!child) {
		lock_xadd(&all->unfollowed, 1);
		return 0;
	}
	lock_xadd(&all->followed, 1);
	child->is_launching = is_root || (parent && parent->is_launching);
	if (!is_root) {
		child->parent_tid = identity;
		child->parent_pid = identity >> 32;
		child->clone_flags = flags;
	}
	return 0;
}

/* A thread that executes a program gets its leader's tid, and the leader has gone; execve(2) under
 * ptrace(2). The arguments are the task, its former tid, and the program. */
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	struct member *task = current_member();
	struct sample event = {.kind = EXECUTED, .number = (s32)ctx->args[1]};
	u64 identity = bpf_get_current_pid_tgid();

	if (!task)
		return 0;
	announce(task);
	task->is_launching = 0;
	if (task->tid != (u32)identity) {
		/* Whoever was told the strings knows them by the former tid. */
		task->call.flags &= ~CAPTURED;
		task->call.tid = task->tid = identity;
	}
	tell(&event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	struct member *task = current_member();
	struct settings *asked_for = asked();
	u64 address = bpf_get_current_task();
	struct sample event = {.kind = ENDED};
	struct totals *all = sum();

	if (!task || !asked_for || !all)
		return 0;
	/* The kernel's own threads of a process, and those killed before they began, never ran. */
	if (task->tid) {
		if (task->is_inside) {
			task->call.left_ns = bpf_ktime_get_ns();
			finish(task, asked_for);
		}
		event.number = task->signal;
		event.result = task->status;
		event.flags = (task->is_ending ? BY_CALL : 0) | (task->is_zapped ? ZAPPED : 0);
		tell(&event, BPF_RB_FORCE_WAKEUP);
	}
	members.delete(&address);
	lock_xadd(&all->ended, 1);
	return 0;
}

/* ------------------------------------------------------------------------------ signals */

/* The kernel's siginfo is what user space gets, 48 bytes of it; 0 and 1 stand for a signal without
 * one: SEND_SIG_NOINFO, SEND_SIG_PRIV of <linux/sched/signal.h>. */
static __always_inline void describe_signal(struct sample *event, u64 info)
{
	event->result = info > 1 ? 2 : info;
	if (info > 1)
		bpf_probe_read_kernel(event->arguments, sizeof(event->arguments), (void *)info);
}

/* The arguments are the number, its siginfo, and what the process does about it. */
RAW_TRACEPOINT_PROBE(signal_deliver)
{
	struct member *task = current_member();
	struct sample event = {.kind = DELIVERED, .number = (s32)ctx->args[0]};

	if (!task)
		return 0;
	announce(task);
	/* Signals are delivered on the way out of the kernel: a call has had its exit before. */
	task->is_new = 0;
	if (event.number == KILL) {
		/* So the kernel ends threads, whatever the reason is. */
		task->is_zapped = 1;
		return 0;
	}
	/* struct sigaction of <asm/signal.h>, as rt_sigaction(2) has it, begins with the handler. */
	bpf_probe_read_kernel(&event.left_ns, sizeof(event.left_ns), (void *)ctx->args[2]);
	if (event.left_ns == SIG_DFL)
		task->signal = event.number;
	describe_signal(&event, ctx->args[1]);
	tell(&event, waking());
	return 0;
}

/* In the thread that sends it. The arguments are the number, its siginfo, the task that it is for,
 * whether that stands for its process, and what became of it. */
RAW_TRACEPOINT_PROBE(signal_generate)
{
	u64 address = ctx->args[2], sender = bpf_get_current_pid_tgid();
	struct sample event = {.kind = GENERATED, .number = (s32)ctx->args[0]};
	struct member *task;

	if (ctx->args[4]) /* TRACE_SIGNAL_DELIVERED is 0. */
		return 0;
	task = members.lookup(&address);
	if (!task || !task->tid)
		return 0;
	event.tid = task->tid;
	event.pid = task->pid;
	event.left_ns = sender >> 32;
	event.strings = bpf_get_current_uid_gid();
	describe_signal(&event, ctx->args[1]);
	tell(&event, waking());
	return 0;
}
