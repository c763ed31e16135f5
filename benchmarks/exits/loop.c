/*
 * The least that a virtual-machine monitor can do: run a real-mode guest that does port I/O for ever, answer the exits, count them.
 * Arguments: guest code in hexadecimal, number of exits, exits a chunk. Prints the nanoseconds of the fastest chunk.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    long long wanted = atoll(argv[2]), chunk = atoll(argv[3]), count = 0, best = -1, start = now();
    int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000), "KVM_SET_TSS_ADDR");
    check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    unsigned char *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; argv[1][2 * i] != 0; i++) {
        unsigned value;
        sscanf(argv[1] + 2 * i, "%2x", &value);
        memory[0x1000 + i] = (unsigned char)value;
    }
    struct kvm_userspace_memory_region region = { .memory_size = 0x10000, .userspace_addr = (unsigned long)memory };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    int cpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    int bytes = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    struct kvm_sregs sregs;
    check(ioctl(cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    check(ioctl(cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
    check(ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

    while (count < wanted) {
        check(ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason != KVM_EXIT_IO)
            return 1;
        if (run->io.direction == KVM_EXIT_IO_IN)
            memset((char *)run + run->io.data_offset, 0x5a, run->io.size);
        if (++count % chunk == 0) {
            long long end = now();
            if (best < 0 || end - start < best)
                best = end - start;
            start = end;
        }
    }
    printf("%lld\n", best);
    return 0;
}
