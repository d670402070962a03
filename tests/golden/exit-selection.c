static __always_inline bool selected(const struct sample *call)
{
	if (call->arch == X86_64)
		switch (call->number) {
		case -1:
		case 1073741824:
			return (call->arguments[5] & 0xf000000000000000ULL) >= 0x8000000000000000ULL;
		case 0:
		case 2:
		case 8:
		case 20 ... 29:
			return call->result < 0LL;
		case 1:
			return call->result < 0LL
				|| (call->result < 0LL && (u32)call->arguments[0] == 0x2ULL);
		case 9:
			return call->result < 0LL && (u32)call->arguments[0] == 0x2ULL;
		case 59:
			return true;
		case 257:
			return call->result == -2LL;
		}
	if (call->arch == I386)
		switch (call->number) {
		case 5:
			return call->result > (-9223372036854775807LL - 1)
				|| ((u32)call->arguments[1] & 0x40ULL) != 0x0ULL;
		default:
			return call->result > (-9223372036854775807LL - 1);
		}
	return false;
}
