#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// More than any window of gzip's, so that repeating it does not show in the compressed size.
enum { period = 1 << 20, words = 4096, word = 12 };

void write_data(long count)
{
    static unsigned char dictionary[words][word], block[period];
    uint64_t state = 0x9E3779B97F4A7C15;
    for (int i = 0; i < words; i++)
        for (int j = 0; j < word; j++)
            dictionary[i][j] = 'a' + next_random(&state) % 26;

    // Words, of which few are frequent, between short runs of noise: about what text and tables give.
    for (int at = 0; at < period;) {
        uint64_t random = next_random(&state);
        int rank = random % words & random >> 12 & (words - 1);
        int length = 3 + (random >> 24) % 9, left = period - at;
        memcpy(block + at, dictionary[rank], length < left ? length : left);
        at += length < left ? length : left;
        if (at < period)
            block[at++] = random >> 40 & 3 ? ' ' : random >> 48;
    }

    while (count > 0) {
        size_t part = count < period ? count : period;
        if (fwrite(block, 1, part, stdout) != part)
            die("write");
        count -= part;
    }
}
