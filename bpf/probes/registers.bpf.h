/* What a system call looks like in the registers; text that stands before a program's own.
 *
 * Of the kernel's structures only struct pt_regs is looked into, which is the same for user space,
 * and for all versions.
 */

enum { X86_64 = 0xc000003e, I386 = 0x40000003 }; /* <linux/audit.h> */
enum { USER32_CS = 0x23 };                       /* __USER32_CS of <asm/segment.h> */
enum { INT_0x80 = 0x80cd };                      /* the bytes cd 80, as a word */

/* struct pt_regs of <asm/ptrace.h>, as user space is promised it. */
struct registers {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	u64 orig_rax, rip, cs, eflags, rsp, ss;
};

/* Whether the call was of the i386 ABI, which 64-bit code enters by int 0x80.
 *
 * SYSCALL leaves the address of the next instruction in RCX, where an argument of i386 would be. So
 * only where they differ the instruction must be looked at: after int 0x80, and after execve, which
 * clears RCX. A program can deceive this: by such an argument, or by changing the instruction.
 */
static __always_inline bool is_i386(const struct registers *regs)
{
	u16 instruction = 0;

	if ((u16)regs->cs == USER32_CS)
		return true;
	if (regs->rcx == regs->rip)
		return false;
	bpf_probe_read_user(&instruction, sizeof(instruction), (void *)(regs->rip - 2));
	return instruction == INT_0x80;
}

/* The six arguments of a call, as wide as its ABI's registers are. */
static __always_inline void read_arguments(u64 arguments[6], const struct registers *regs,
					   bool i386)
{
	if (i386) {
		arguments[0] = (u32)regs->rbx;
		arguments[1] = (u32)regs->rcx;
		arguments[2] = (u32)regs->rdx;
		arguments[3] = (u32)regs->rsi;
		arguments[4] = (u32)regs->rdi;
		arguments[5] = (u32)regs->rbp;
	} else {
		arguments[0] = regs->rdi;
		arguments[1] = regs->rsi;
		arguments[2] = regs->rdx;
		arguments[3] = regs->r10;
		arguments[4] = regs->r8;
		arguments[5] = regs->r9;
	}
}
