// The workloads of benchmarks/processor. Each does `count` units of work and returns a checksum that is the same on every machine.
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

// Prints the message with errno's text and ends the process.
__attribute__((noreturn)) void die(const char *what);

uint64_t system_calls(long count);
uint64_t ping_pong(long count);
uint64_t page_faults(long count);
uint64_t fork_exec(long count);
uint64_t nbody(long count);
uint64_t matrix(long count);
uint64_t aes_gcm(long count);
uint64_t copy(long count);
uint64_t busy(long count);
uint64_t four_busy(long count);
uint64_t locked(long count);

// Writes `count` bytes that compress by about half to standard output.
void write_data(long count);

// Runs a command between a line "@begin" and a line "@end status seconds CPU-seconds last-line-of-its-output".
int timed(char **command);

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

#endif
