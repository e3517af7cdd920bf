/*
 * A stand-in for the kernel: says on the serial port where the boot loader has put things, and then does
 * what its initrd says: "stay", "reset", "off". It runs where it was loaded, with the MMU off.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

#define UART ((volatile u32 *)UART_BASE)

static void put(char c)
{
#ifdef MINI_UART
	while (!(UART[0x54 / 4] & 0x20))
		;
	UART[0x40 / 4] = c;
#else
	while (UART[0x18 / 4] & 0x20)
		;
	UART[0] = c;
#endif
}

static void say(const char *text)
{
	while (*text)
		put(*text++);
}

static void say_hex(u64 value)
{
	say("0x");
	for (int shift = 60; shift >= 0; shift -= 4) {
		int digit = value >> shift & 15;
		if (value >> shift || !shift)
			put(digit < 10 ? '0' + digit : 'a' + digit - 10);
	}
}

static u32 big(const u8 *at)
{
	return (u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static int same(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

/* The first property of that name in the device tree; the names asked for are unambiguous. */
static const u8 *property(const u8 *tree, const char *name, u32 *length)
{
	const u8 *at = tree + big(tree + 8);
	const char *strings = (const char *)tree + big(tree + 12);

	for (;;) {
		u32 token = big(at);
		at += 4;
		if (token == 1) {
			while (*at)
				at++;
			at = (const u8 *)(((u64)at + 4) & ~3UL);
		} else if (token == 3) {
			*length = big(at);
			if (same(strings + big(at + 4), name))
				return at + 8;
			at = (const u8 *)(((u64)at + 8 + *length + 3) & ~3UL);
		} else if (token == 9) {
			return 0;
		}
	}
}

static u64 address(const u8 *tree, const char *name)
{
	u32 length;
	const u8 *value = property(tree, name, &length);

	if (!value)
		return 0;
	return length == 8 ? (u64)big(value) << 32 | big(value + 4) : big(value);
}

static void say_text(const u8 *tree, const char *name)
{
	u32 length;
	const u8 *value = property(tree, name, &length);

	say(value ? (const char *)value : "(none)");
}

static void leave(u32 function)
{
#ifdef WATCHDOG_BASE
	volatile u32 *watchdog = (volatile u32 *)WATCHDOG_BASE;

	(void)function;
	watchdog[0x24 / 4] = 0x5a000000 | 10;
	watchdog[0x1c / 4] = 0x5a000020;
#else
	register u64 x0 asm("x0") = function;

	asm volatile("hvc #0" : "+r"(x0) : : "memory");
#endif
}

void start(const u8 *tree, u64 here)
{
	const char *initrd = (const char *)address(tree, "linux,initrd-start");

	say("\nprobe: kernel=");
	say_hex(here);
	say(" tree=");
	say_hex((u64)tree);
	say(" initrd=");
	say_hex((u64)initrd);
	say("-");
	say_hex(address(tree, "linux,initrd-end"));
	say("\nprobe: model=");
	say_text(tree, "model");
	say("\nprobe: bootargs=");
	say_text(tree, "bootargs");
	say("\nprobe: initrd says ");
	for (const char *at = initrd; *at != '\n'; at++)
		put(*at);
	say("\nprobe: end\n");
	while (*initrd++ != ' ')
		;
	if (*initrd == 'r')
		leave(0x84000009);
	if (*initrd == 'o')
		leave(0x84000008);
	for (;;)
		asm volatile("wfi");
}
