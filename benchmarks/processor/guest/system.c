// What an operating system does for a process: calls, switches, faults, processes.
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t system_calls(long count)
{
    // Not getppid(): a C library may remember the answer.
    long parent = syscall(SYS_getppid);
    uint64_t same = 0;
    for (long i = 0; i < count; i++)
        same += syscall(SYS_getppid) == parent;
    return same;
}

// Both ends on one processor: every message is a switch, not a wake-up of an idle one.
static void stay_on_this_processor(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("sched_setaffinity");
}

uint64_t ping_pong(long count)
{
    int there[2], back[2];
    if (pipe(there) != 0 || pipe(back) != 0)
        die("pipe");

    stay_on_this_processor();
    uint32_t value = 0;
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &value, sizeof value) == sizeof value) {
            value = value * 5 + 1;
            if (write(back[1], &value, sizeof value) != sizeof value)
                die("write");
        }

        _exit(0);
    }

    for (long i = 0; i < count; i++)
        if (write(there[1], &value, sizeof value) != sizeof value || read(back[0], &value, sizeof value) != sizeof value)
            die("ping");
    close(there[1]);
    waitpid(child, 0, 0);
    return value;
}

uint64_t page_faults(long count)
{
    enum { page = 4096, pages = 1024 };
    uint64_t sum = 0;
    for (long done = 0; done < count; done += pages) {
        unsigned char *area = mmap(0, (size_t)page * pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
            die("mmap");
        // A huge page would be one fault for all of them.
        madvise(area, (size_t)page * pages, MADV_NOHUGEPAGE);
        for (int i = 0; i < pages; i++) {
            sum += area[(size_t)i * page];
            area[(size_t)i * page] = i;
        }

        for (int i = 0; i < pages; i++)
            sum += area[(size_t)i * page];
        munmap(area, (size_t)page * pages);
    }

    return sum;
}

uint64_t fork_exec(long count)
{
    uint64_t sum = 0;
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child == 0) {
            execl("./tiny", "tiny", (char *)0);
            _exit(127);
        }

        int status;
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }

    return sum;
}
