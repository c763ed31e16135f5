#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t (*run)(long count);
} workloads[] = {
    {"syscall", system_calls}, {"pipe", ping_pong}, {"fault", page_faults}, {"fork", fork_exec}, {"nbody", nbody},
    {"matrix", matrix}, {"aes", aes_gcm}, {"copy", copy}, {"busy", busy}, {"smp", four_busy}, {"locked", locked},
};

void die(const char *what)
{
    perror(what);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "timed") == 0)
        return timed(argv + 2);
    if (argc != 3) {
        fprintf(stderr, "usage: bench workload count\n       bench data bytes\n       bench timed command...\n");
        return 2;
    }

    long count = atol(argv[2]);
    if (strcmp(argv[1], "data") == 0) {
        write_data(count);
        return 0;
    }

    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(argv[1], workloads[i].name) == 0) {
            printf("%016" PRIx64 "\n", workloads[i].run(count));
            return 0;
        }
    }

    fprintf(stderr, "bench: there is no workload %s\n", argv[1]);
    return 2;
}
