/* The header that makes a flat binary an arm64 Image, with the size and flags of the kernel that it stands for. */
	.text
_head:
	b	_entry
	.long	0
	.quad	0			/* text offset */
	.quad	IMAGE_SIZE
	.quad	0xa			/* little endian, 4 KiB pages, may lie anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
_entry:
	adr	x1, _head
	ldr	x2, =IMAGE_SIZE
	add	x2, x1, x2
	mov	sp, x2
	b	start
