// Floating point with what every x86-64 has, SSE2.
#include "bench.h"

#include <emmintrin.h>
#include <math.h>
#include <string.h>

static uint64_t bits(double value)
{
    uint64_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}

// Five bodies that attract each other; a leapfrog step a count.
uint64_t nbody(long count)
{
    enum { bodies = 5 };
    struct { double x[3], v[3], m; } body[bodies];
    for (int i = 0; i < bodies; i++) {
        body[i].m = i == 0 ? 39.5 : 0.04 / i;
        for (int k = 0; k < 3; k++) {
            body[i].x[k] = i == 0 ? 0 : i * (k == 0 ? 5.0 : k == 1 ? -1.5 : 0.25);
            body[i].v[k] = i == 0 ? 0 : (k == 1 ? 2.5 : 0.3) / i;
        }
    }

    const double dt = 0.001;
    for (long step = 0; step < count; step++) {
        for (int i = 0; i < bodies; i++) {
            for (int j = i + 1; j < bodies; j++) {
                double dx = body[i].x[0] - body[j].x[0], dy = body[i].x[1] - body[j].x[1], dz = body[i].x[2] - body[j].x[2];
                double square = dx * dx + dy * dy + dz * dz + 1e-6;
                double strength = dt / (square * sqrt(square));
                double a = body[j].m * strength, b = body[i].m * strength;
                body[i].v[0] -= dx * a;
                body[i].v[1] -= dy * a;
                body[i].v[2] -= dz * a;
                body[j].v[0] += dx * b;
                body[j].v[1] += dy * b;
                body[j].v[2] += dz * b;
            }
        }

        for (int i = 0; i < bodies; i++)
            for (int k = 0; k < 3; k++)
                body[i].x[k] += dt * body[i].v[k];
    }

    uint64_t sum = 0;
    for (int i = 0; i < bodies; i++)
        for (int k = 0; k < 3; k++)
            sum = sum * 31 + bits(body[i].x[k]);
    return sum;
}

// Multiplication of two square matrices a count.
uint64_t matrix(long count)
{
    enum { n = 128 };
    static double a[n][n] __attribute__((aligned(16))), b[n][n] __attribute__((aligned(16))), c[n][n] __attribute__((aligned(16)));
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            a[i][j] = (i * 7 + j * 3) % 17 / 17.0;
            b[i][j] = (i * 5 + j * 11) % 13 / 13.0;
        }
    }

    uint64_t sum = 0;
    for (long round = 0; round < count; round++) {
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j += 8) {
                __m128d s0 = _mm_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
                for (int k = 0; k < n; k++) {
                    __m128d factor = _mm_set1_pd(a[i][k]);
                    s0 = _mm_add_pd(s0, _mm_mul_pd(factor, _mm_load_pd(&b[k][j])));
                    s1 = _mm_add_pd(s1, _mm_mul_pd(factor, _mm_load_pd(&b[k][j + 2])));
                    s2 = _mm_add_pd(s2, _mm_mul_pd(factor, _mm_load_pd(&b[k][j + 4])));
                    s3 = _mm_add_pd(s3, _mm_mul_pd(factor, _mm_load_pd(&b[k][j + 6])));
                }

                _mm_store_pd(&c[i][j], s0);
                _mm_store_pd(&c[i][j + 2], s1);
                _mm_store_pd(&c[i][j + 4], s2);
                _mm_store_pd(&c[i][j + 6], s3);
            }
        }

        sum = sum * 31 + bits(c[round % n][round * 7 % n]);
        a[round % n][round * 3 % n] += 0.5;
    }

    return sum;
}
