require spotstream-kernel.inc
