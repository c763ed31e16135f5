// The smallest program: what fork and exec of it take is fork and exec. Without a C library.
__attribute__((noreturn)) void _start(void)
{
    // exit(7)
    __asm__ volatile("syscall" : : "a"(60), "D"(7));
    __builtin_unreachable();
}
