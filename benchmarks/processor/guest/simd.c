// What OpenSSL-like code does with vector instructions: AES-GCM and copying, chosen by CPUID with a fallback that gives the same result.
#include "bench.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { rounds = 10, lanes = 8, block = 16 };

static uint8_t key_schedule[rounds + 1][block] __attribute__((aligned(16)));
static uint8_t sbox[256];

static uint8_t times_two(uint8_t value) { return value << 1 ^ (value & 0x80 ? 0x1B : 0); }

// FIPS 197, 5.1.1: inverse in GF(2^8), then an affine map; walked through by powers of 3 and of its inverse 0xF6.
static void make_sbox(void)
{
    uint8_t p = 1, q = 1;
    do {
        p ^= times_two(p);
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        if (q & 0x80)
            q ^= 0x09;
        sbox[p] = q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4) ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;
}

static void expand_key(const uint8_t *key)
{
    uint8_t *w = key_schedule[0], rcon = 1;
    memcpy(w, key, block);
    for (int i = block; i < (rounds + 1) * block; i += 4) {
        uint8_t t[4] = {w[i - 4], w[i - 3], w[i - 2], w[i - 1]};
        if (i % block == 0) {
            uint8_t first = t[0];
            t[0] = sbox[t[1]] ^ rcon;
            t[1] = sbox[t[2]];
            t[2] = sbox[t[3]];
            t[3] = sbox[first];
            rcon = times_two(rcon);
        }

        for (int j = 0; j < 4; j++)
            w[i + j] = w[i + j - block] ^ t[j];
    }
}

static void encrypt_portable(const uint8_t *in, uint8_t *out)
{
    uint8_t s[block], t[block];
    for (int i = 0; i < block; i++)
        s[i] = in[i] ^ key_schedule[0][i];
    for (int round = 1; round <= rounds; round++) {
        for (int i = 0; i < block; i++)
            t[i] = sbox[s[i * 5 % block]];
        for (int c = 0; c < block; c += 4) {
            uint8_t all = t[c] ^ t[c + 1] ^ t[c + 2] ^ t[c + 3];
            for (int r = 0; r < 4; r++) {
                uint8_t mixed = t[c + r] ^ all ^ times_two(t[c + r] ^ t[c + (r + 1) % 4]);
                s[c + r] = (round == rounds ? t[c + r] : mixed) ^ key_schedule[round][c + r];
            }
        }
    }

    memcpy(out, s, block);
}

// SP 800-38D, 6.3, a bit at a time.
static void ghash_portable(uint8_t *hash, const uint8_t *h, const uint8_t *data)
{
    uint8_t v[block], z[block] = {0};
    memcpy(v, h, block);
    for (int i = 0; i < block; i++)
        hash[i] ^= data[i];
    for (int i = 0; i < 128; i++) {
        if (hash[i / 8] >> (7 - i % 8) & 1)
            for (int j = 0; j < block; j++)
                z[j] ^= v[j];
        int carry = v[15] & 1;
        for (int j = 15; j > 0; j--)
            v[j] = v[j] >> 1 | v[j - 1] << 7;
        v[0] = v[0] >> 1 ^ (carry ? 0xE1 : 0);
    }

    memcpy(hash, z, block);
}

static void increment(uint8_t *counter)
{
    for (int i = 15; i >= 12 && ++counter[i] == 0; i--)
        ;
}

static void seal_portable(uint8_t *data, long blocks, uint8_t *counter, uint8_t *hash, const uint8_t *h)
{
    for (long i = 0; i < blocks; i++) {
        uint8_t stream[block];
        increment(counter);
        encrypt_portable(counter, stream);
        for (int j = 0; j < block; j++)
            data[i * block + j] ^= stream[j];
        ghash_portable(hash, h, data + i * block);
    }
}

// The product of two reflected polynomials and its reduction by x^128 + x^7 + x^2 + x + 1.
__attribute__((target("pclmul,ssse3"))) static inline __m128i multiply(__m128i a, __m128i b)
{
    __m128i low = _mm_clmulepi64_si128(a, b, 0x00), high = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x10), _mm_clmulepi64_si128(a, b, 0x01));
    low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
    high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));

    // Reflection puts the product one bit too low.
    __m128i low_carry = _mm_srli_epi64(low, 63), high_carry = _mm_srli_epi64(high, 63);
    high = _mm_or_si128(_mm_or_si128(_mm_slli_epi64(high, 1), _mm_slli_si128(high_carry, 8)), _mm_srli_si128(low_carry, 8));
    low = _mm_or_si128(_mm_slli_epi64(low, 1), _mm_slli_si128(low_carry, 8));

    // Fold the low half into the high one in two steps of 64 bits by 0xC2 << 56 (1 + x + x^2 + x^7, reflected).
    __m128i fold = _mm_set_epi64x((long long)0xC200000000000000, 1);
    __m128i step = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4E), _mm_clmulepi64_si128(low, fold, 0x10));
    step = _mm_xor_si128(_mm_shuffle_epi32(step, 0x4E), _mm_clmulepi64_si128(step, fold, 0x10));
    return _mm_xor_si128(high, step);
}

__attribute__((target("aes,pclmul,ssse3"))) static void seal_vector(uint8_t *data, long blocks, uint8_t *counter, uint8_t *hash, const uint8_t *h)
{
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), one = _mm_set_epi32(0, 0, 0, 1);
    __m128i key[rounds + 1];
    for (int i = 0; i <= rounds; i++)
        key[i] = _mm_load_si128((__m128i *)key_schedule[i]);
    __m128i count = _mm_shuffle_epi8(_mm_loadu_si128((__m128i *)counter), reverse);
    __m128i y = _mm_shuffle_epi8(_mm_loadu_si128((__m128i *)hash), reverse);
    __m128i factor = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)h), reverse);
    for (long at = 0; at < blocks;) {
        int together = blocks - at >= lanes ? lanes : 1;
        __m128i s[lanes];
        if (together == lanes) {
            for (int j = 0; j < lanes; j++) {
                count = _mm_add_epi32(count, one);
                s[j] = _mm_xor_si128(_mm_shuffle_epi8(count, reverse), key[0]);
            }

            for (int i = 1; i < rounds; i++)
                for (int j = 0; j < lanes; j++)
                    s[j] = _mm_aesenc_si128(s[j], key[i]);
            for (int j = 0; j < lanes; j++)
                s[j] = _mm_aesenclast_si128(s[j], key[rounds]);
        } else {
            count = _mm_add_epi32(count, one);
            s[0] = _mm_xor_si128(_mm_shuffle_epi8(count, reverse), key[0]);
            for (int i = 1; i < rounds; i++)
                s[0] = _mm_aesenc_si128(s[0], key[i]);
            s[0] = _mm_aesenclast_si128(s[0], key[rounds]);
        }

        for (int j = 0; j < together; j++, at++) {
            __m128i *target = (__m128i *)(data + at * block);
            __m128i sealed = _mm_xor_si128(_mm_loadu_si128(target), s[j]);
            _mm_storeu_si128(target, sealed);
            y = multiply(_mm_xor_si128(y, _mm_shuffle_epi8(sealed, reverse)), factor);
        }
    }

    _mm_storeu_si128((__m128i *)counter, _mm_shuffle_epi8(count, reverse));
    _mm_storeu_si128((__m128i *)hash, _mm_shuffle_epi8(y, reverse));
}

typedef void seal(uint8_t *data, long blocks, uint8_t *counter, uint8_t *hash, const uint8_t *h);

// The specification's test case 2: key, nonce and one block of zeros.
static void check(seal *run, const uint8_t *h)
{
    static const uint8_t cipher[block] = {0x03, 0x88, 0xDA, 0xCE, 0x60, 0xB6, 0xA3, 0x92, 0xF3, 0x28, 0xC2, 0xB9, 0x71, 0xB2, 0xFE, 0x78};
    static const uint8_t expected[block] = {0x5E, 0x2E, 0xC7, 0x46, 0x91, 0x70, 0x62, 0x88, 0x2C, 0x85, 0xB0, 0x68, 0x53, 0x53, 0xDE, 0xB7};
    uint8_t data[block] = {0}, counter[block] = {[15] = 1}, hash[block] = {0};
    run(data, 1, counter, hash, h);
    if (memcmp(data, cipher, block) != 0 || memcmp(hash, expected, block) != 0) {
        fprintf(stderr, "bench: AES-GCM is wrong on this processor\n");
        exit(1);
    }
}

// Seals 16 KB a count.
uint64_t aes_gcm(long count)
{
    enum { record = 16384 };
    static uint8_t data[record], zero[block];
    uint8_t h[block], counter[block] = {[15] = 1}, hash[block] = {0};
    __builtin_cpu_init();
    seal *run = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3") ? seal_vector : seal_portable;
    make_sbox();
    expand_key(zero);
    encrypt_portable(zero, h);
    check(seal_portable, h);
    check(run, h);
    for (long i = 0; i < count; i++)
        run(data, record / block, counter, hash, h);
    uint64_t sum;
    memcpy(&sum, hash, sizeof sum);
    return sum;
}

__attribute__((target("avx2"))) static void copy_avx2(uint8_t *to, const uint8_t *from, long bytes)
{
    for (long i = 0; i < bytes; i += 128) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(from + i)), b = _mm256_loadu_si256((const __m256i *)(from + i + 32));
        __m256i c = _mm256_loadu_si256((const __m256i *)(from + i + 64)), d = _mm256_loadu_si256((const __m256i *)(from + i + 96));
        _mm256_storeu_si256((__m256i *)(to + i), a);
        _mm256_storeu_si256((__m256i *)(to + i + 32), b);
        _mm256_storeu_si256((__m256i *)(to + i + 64), c);
        _mm256_storeu_si256((__m256i *)(to + i + 96), d);
    }
}

static void copy_sse2(uint8_t *to, const uint8_t *from, long bytes)
{
    for (long i = 0; i < bytes; i += 64) {
        __m128i a = _mm_loadu_si128((const __m128i *)(from + i)), b = _mm_loadu_si128((const __m128i *)(from + i + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(from + i + 32)), d = _mm_loadu_si128((const __m128i *)(from + i + 48));
        _mm_storeu_si128((__m128i *)(to + i), a);
        _mm_storeu_si128((__m128i *)(to + i + 16), b);
        _mm_storeu_si128((__m128i *)(to + i + 32), c);
        _mm_storeu_si128((__m128i *)(to + i + 48), d);
    }
}

// Copies 256 KB a count, to a place that is not aligned to 32 bytes.
uint64_t copy(long count)
{
    enum { bytes = 256 << 10, shift = 16 };
    static uint8_t from[bytes] __attribute__((aligned(64))), to[bytes + 64] __attribute__((aligned(64)));
    uint64_t state = 42, sum = 0;
    for (int i = 0; i < bytes; i += 8) {
        uint64_t value = next_random(&state);
        memcpy(from + i, &value, 8);
    }

    __builtin_cpu_init();
    int wide = __builtin_cpu_supports("avx2");
    for (long i = 0; i < count; i++) {
        from[i * 4099 % bytes]++;
        (wide ? copy_avx2 : copy_sse2)(to + shift, from, bytes);
        sum = sum * 31 + to[shift + (i * 4099 + 64) % bytes];
    }

    return sum * 31 + (memcmp(to + shift, from, bytes) == 0);
}
