#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// Lines go out in one write each, so that nothing stands between marker and measurement.
static void put(const char *text, int length)
{
    if (write(STDOUT_FILENO, text, length) != length)
        die("write");
}

int timed(char **command)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");

    put("@begin\n", 7);
    double start = now();
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(command[0], command);
        die(command[0]);
    }

    close(ends[1]);
    char output[4096];
    int length = 0, status = 0;
    for (ssize_t count; (count = read(ends[0], output + length, sizeof output - 1 - length)) > 0;) {
        length += count;
        if (length == sizeof output - 1) {
            memmove(output, output + sizeof output / 2, length - sizeof output / 2);
            length -= sizeof output / 2;
        }
    }

    while (length > 0 && output[length - 1] == '\n')
        length--;
    output[length] = 0;
    waitpid(child, &status, 0);
    double seconds = now() - start;
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    char *last = strrchr(output, '\n'), line[512];
    put(line, snprintf(line, sizeof line, "@end %d %.6f %.6f %.400s\n", status, seconds, cpu, last ? last + 1 : output));
    return 0;
}
