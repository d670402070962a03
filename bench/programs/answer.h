/* An answer that takes work: what a supervisor computes, and a program can check. */

/* A thread may ask for so many different ones. */
enum { QUESTIONS = 64 };

/*
 * Each turn (xorshift64) needs what the last one gave, so no compiler can shorten it. 31 bits are
 * kept: not negative, so no error.
 */
static inline long answer_to(unsigned long question, long turns)
{
	unsigned long x = question + 1;

	for (long i = 0; i < turns; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x & 0x7fffffff;
}
