/* The threads that are followed: some of user space's choice, and all that they create.
 *
 * Text that stands before a program's own. Threads are known by the address of the kernel's structure, which is
 * never looked into: tracepoints tell it, and execve(2) does not change it, as it does a tid.
 */

enum role { TRACEE = 1, TRACER = 2 };
enum { CLONES_THREAD = 0x10000 }; /* CLONE_THREAD of <linux/sched.h> */
enum { FOLLOWED, UNFOLLOWED, TREE_COUNTERS };
enum { NAMED, MET, EXPECTATIONS };

struct member {
	u32 role;
	/* The rest is 0 at first, and the text's that follows. */
	u32 state;
	u32 tid;
	u32 unused;
	u64 tracer;
	u64 stopped_ns;
	u64 told_ns;
	u64 told;
	u64 known;
};

BPF_HASH(members, u64, struct member, 32768);
/* By tid: threads that ran already, with their role, until they are seen. */
BPF_HASH(expected, u32, u32, 32768);
/* How many there were of them, which user space counts, and how many have been seen or have ended:
 * with both alike, which is soon so, the threads of the host are not looked for among them. */
BPF_ARRAY(expectations, u64, EXPECTATIONS);
/* How many tracees there were, and how many threads were not followed as there was no room. */
BPF_PERCPU_ARRAY(tree, u64, TREE_COUNTERS);

/* Atomic although the counter is this CPU's own: a program may be preempted by another of its kind. */
static __always_inline void add(u64 *counter, u64 value)
{
	if (counter)
		lock_xadd(counter, value);
}

static __always_inline void count_in_tree(u32 what)
{
	add(tree.lookup(&what), 1);
}

static __always_inline struct member *member_of(u64 task)
{
	return members.lookup(&task);
}

static __always_inline struct member *admit(u64 task, u32 role)
{
	struct member member;

	__builtin_memset(&member, 0, sizeof(member));
	member.role = role;
	if (members.update(&task, &member)) {
		count_in_tree(UNFOLLOWED);
		return NULL;
	}
	if (role == TRACEE)
		count_in_tree(FOLLOWED);
	return members.lookup(&task);
}

static __always_inline bool expects(void)
{
	u32 first = NAMED, second = MET;
	u64 *named = expectations.lookup(&first), *met = expectations.lookup(&second);

	return named && met && *named != *met;
}

static __always_inline void expect_no_more(u32 tid)
{
	u32 met = MET;

	if (expects() && !expected.delete(&tid))
		add(expectations.lookup(&met), 1);
}

/* The current thread, if it is one of the followed or expected. */
static __always_inline struct member *current_member(void)
{
	u64 task = bpf_get_current_task();
	u32 tid = bpf_get_current_pid_tgid();
	struct member *found = member_of(task);
	u32 *role;

	if (found || !expects())
		return found;
	role = expected.lookup(&tid);
	if (!role)
		return NULL;
	found = admit(task, *role);
	expect_no_more(tid);
	return found;
}

/* Before the new thread runs. Its arguments are the new task and the flags of clone(2). What a
 * tracer starts is to be traced, but for its own threads.
 *
 * The kernel gives the memory of a thread that has ended to another: none inherits its place.
 */
RAW_TRACEPOINT_PROBE(task_newtask)
{
	struct member *parent = current_member();
	u64 task = ctx->args[0];
	u32 role;

	if (!parent) {
		members.delete(&task);
		return 0;
	}
	role = parent->role;
	if (!(ctx->args[1] & CLONES_THREAD))
		role = TRACEE;
	admit(task, role);
	return 0;
}

/* When nothing will be heard of a thread any more: its exit is followed by one more switch. */
RAW_TRACEPOINT_PROBE(sched_process_free)
{
	u64 task = ctx->args[0];

	members.delete(&task);
	return 0;
}

/* A tid that is free again may become that of a thread that nobody expects. */
RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	u32 tid = bpf_get_current_pid_tgid();

	current_member();
	expect_no_more(tid);
	return 0;
}

/* A thread that executes a program gets its leader's tid, see execve(2) under ptrace(2): its own
 * is free. The arguments are the task, its former tid, and the program. */
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	u32 former = ctx->args[1];

	current_member();
	expect_no_more(former);
	return 0;
}
