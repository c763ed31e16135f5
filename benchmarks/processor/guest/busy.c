// Plain integer work, and several processes of it at once.
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

// A sieve, a sort through a function pointer and a hash table a count: branches, calls, multiplications, loads and stores.
uint64_t busy(long count)
{
    enum { numbers = 16384, items = 2048, buckets = 4096 };
    static unsigned char composite[numbers];
    static uint32_t item[items], bucket[buckets];
    uint64_t state = 88172645463325252, sum = 0;
    for (long round = 0; round < count; round++) {
        memset(composite, 0, sizeof composite);
        for (int i = 2; i < numbers; i++) {
            if (composite[i])
                continue;
            sum += i;
            for (int j = i * 2; j < numbers; j += i)
                composite[j] = 1;
        }

        for (int i = 0; i < items; i++)
            item[i] = next_random(&state);
        qsort(item, items, sizeof *item, compare);
        memset(bucket, 0, sizeof bucket);
        for (int i = 0; i < items; i++) {
            uint32_t at = item[i] * 2654435761u >> 20;
            while (bucket[at])
                at = (at + 1) % buckets;
            bucket[at] = item[i] | 1;
            sum = sum * 33 ^ at;
        }
    }

    return sum;
}

uint64_t four_busy(long count)
{
    enum { processes = 4 };
    uint64_t *sums = mmap(0, processes * sizeof *sums, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), all = 0;
    if (sums == MAP_FAILED)
        die("mmap");
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child == 0) {
            sums[i] = busy(count + i);
            _exit(0);
        }
    }

    while (wait(0) > 0)
        ;
    for (int i = 0; i < processes; i++)
        all = all * 31 + sums[i];
    return all;
}

// Processes that add to one word with LOCK, exchange on another and hold a spin lock: nothing may be lost.
uint64_t locked(long count)
{
    enum { processes = 4 };
    struct shared { uint64_t sum, tickets; uint32_t lock; uint64_t guarded; };
    struct shared *shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child == 0) {
            for (long j = 0; j < count; j++) {
                __atomic_fetch_add(&shared->sum, j, __ATOMIC_SEQ_CST);
                uint64_t seen = __atomic_load_n(&shared->tickets, __ATOMIC_RELAXED);
                while (!__atomic_compare_exchange_n(&shared->tickets, &seen, seen + 3, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
                    ;
                while (__atomic_exchange_n(&shared->lock, 1, __ATOMIC_ACQUIRE))
                    __builtin_ia32_pause();
                shared->guarded++;
                __atomic_store_n(&shared->lock, 0, __ATOMIC_RELEASE);
            }

            _exit(0);
        }
    }

    while (wait(0) > 0)
        ;
    return shared->sum * 31 * 31 + shared->tickets * 31 + shared->guarded;
}
