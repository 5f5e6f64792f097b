/* Frames split by pivoted elimination, read off by Gram-Schmidt, and pulled back. */

/* Row of the largest size among those not taken, the first of equals, but for the last ten bits; the first that is no number
   where there is one. Sizes are compared as whole numbers, their last bits the rows counted down: n < 1024. */
INLINE long NAMED(largest)(const double *column, const long long *taken, long np) {
    ivec best = {0}, row = {1023, 1022, 1021, 1020, 1019, 1018, 1017, 1016};
    for (long i = 0; i < np; i += LANES) {
        ivec key = *(const ivec *)(column + i) & 0x7ffffffffffffc00LL;
        key = (key | row) & ~*(const ivec *)(taken + i);
        best = NAMED(greater)(key, best);
        row -= LANES;
    }
    best = NAMED(greater)(best, JOINED(best, best, 4, 5, 6, 7, 0, 1, 2, 3));
    best = NAMED(greater)(best, JOINED(best, best, 2, 3, 0, 1, 6, 7, 4, 5));
    long long first = best[0], second = best[1];
    return 1023 - ((first > second ? first : second) & 1023);
}

/* A panel of L, PANEL columns from `first` on, taken from all later columns of z: U first, by the inverse of the panel's
   triangle, then the rest, of two columns at once. */
INLINE void NAMED(eliminate)(double *z, long first, long k, const long *pivot, long np) {
    const double *panel = z + first * np;
    vec inverse[PANEL]; /* column by column */
    for (long s = PANEL - 1; s >= 0; s--) {
        inverse[s] = (vec){0};
        inverse[s][s] = 1.0;
        for (long t = s + 1; t < PANEL; t++) inverse[s] -= inverse[t] * panel[s * np + pivot[first + t]];
    }
    for (long c = first + PANEL; c < k; c += 2) {
        long second = c + 1 < k ? c + 1 : c;
        double *one = z + c * np, *other = z + second * np;
        vec u = {0}, v = {0}, a[PANEL], b[PANEL];
#pragma GCC unroll 8
        for (int t = 0; t < PANEL; t++) {
            long p = pivot[first + t];
            u += inverse[t] * one[p], v += inverse[t] * other[p];
        }
        double both[2 * PANEL];
        *(vec *)both = u, *(vec *)(both + PANEL) = v;
#pragma GCC unroll 8
        for (int t = 0; t < PANEL; t++) a[t] = (vec){0} + both[t], b[t] = (vec){0} + both[PANEL + t];
        for (long i = 0; i < np; i += LANES) {
            vec x = *(vec *)(one + i), y = *(vec *)(other + i);
#pragma GCC unroll 8
            for (int t = 0; t < PANEL; t++) {
                vec l = *(const vec *)(panel + t * np + i);
                x -= a[t] * l, y -= b[t] * l;
            }
            *(vec *)(one + i) = x, *(vec *)(other + i) = y;
        }
    }
}

/* Split the frame z (k, np) of vectors of length n into W = P L, which replaces it, and U; logs gets ln|diag U|.

   Rows are never swapped: a row that was a pivot has a zero in every later column of L, which is what pivoting does.
   An exactly singular column gives -inf, and a unit vector in the frame, as LAPACK's packed form would. */
static __attribute__((noinline)) void NAMED(split_frame)(double *z, long k, long n, long np, double *logs, long *pivot, long long *taken) {
    for (long i = 0; i < np; i++) taken[i] = i < n ? 0 : -1;
    for (long first = 0; first < k; first += PANEL) {
        long last = first + PANEL < k ? first + PANEL : k;
        for (long j = first; j < last; j++) {
            double *column = z + j * np;
            long p = NAMED(largest)(column, taken, np);
            double value = column[p], inverse = 1.0 / value;
            logs[j] = value;
            if (value == 0.0) {
                memset(column, 0, np * sizeof(double));
                taken[p] = -1, pivot[j] = p;
                continue;
            }
            taken[p] = -1, pivot[j] = p; /* in the updates, the row of the pivot keeps its U */
            for (long i = 0; i < np; i += LANES) {
                vec l = *(vec *)(column + i);
                l = isfinite(inverse) ? l * inverse : l / value;
                *(ivec *)(column + i) = (ivec)l & ~*(const ivec *)(taken + i);
            }
            for (long c = j + 1; c < last; c++) {
                double *other = z + c * np, u = other[p];
                for (long i = 0; i < np; i += LANES) *(vec *)(other + i) -= u * *(vec *)(column + i);
            }
        }
        if (last < k) NAMED(eliminate)(z, first, k, pivot, np);
    }
    for (long j = 0; j < k; j++) z[j * np + pivot[j]] = 1.0;
    NAMED(logarithms)(logs, k);
}

/* Sums of the lanes of four registers, in the first four lanes. */
INLINE vec NAMED(four_sums)(const vec *x) {
    vec ab = JOINED(x[0], x[1], 0, 8, 2, 10, 4, 12, 6, 14) +
             JOINED(x[0], x[1], 1, 9, 3, 11, 5, 13, 7, 15);
    vec cd = JOINED(x[2], x[3], 0, 8, 2, 10, 4, 12, 6, 14) +
             JOINED(x[2], x[3], 1, 9, 3, 11, 5, 13, 7, 15);
    vec all = JOINED(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
              JOINED(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
    return all + JOINED(all, all, 4, 5, 6, 7, 0, 1, 2, 3);
}

/* Products of x (np) with each of four vectors, in the first four lanes. */
INLINE vec NAMED(four_products)(const double *x, const double *const *y, long np) {
    vec sum[GROUP] = {{0}, {0}, {0}, {0}};
    for (long i = 0; i < np; i += LANES) {
        vec here = *(const vec *)(x + i);
#pragma GCC unroll 4
        for (int t = 0; t < GROUP; t++) sum[t] += here * *(const vec *)(y[t] + i);
    }
    return NAMED(four_sums)(sum);
}

/* ln diag R of a frame z (k, np), which is overwritten, by modified Gram-Schmidt, whose R is as accurate as Householder's
   (Björck 1967, BIT 7:1). Of GROUP vectors at once, the products that one after the other would have are worked out from
   those among the group. */
static __attribute__((noinline)) void NAMED(read_off)(double *z, long k, long np, double *logs) {
    double spare[GROUP * np] __attribute__((aligned(64))); /* vectors of zeros, so that every group is whole */
    for (long first = 0; first < k; first += GROUP) {
        const double *q[GROUP];
        double inverse[GROUP], among[GROUP][GROUP];
        for (int t = 0; t < GROUP; t++) {
            q[t] = first + t < k ? z + (first + t) * np : spare + t * np;
            if (first + t >= k) memset(spare + t * np, 0, np * sizeof(double));
        }
        for (int v = 0; v < GROUP && first + v < k; v++) {
            vec products = NAMED(four_products)(q[v], q, np);
            for (int t = 0; t < GROUP; t++) among[v][t] = products[t];
            logs[first + v] = among[v][v], inverse[v] = among[v][v] == 0.0 ? 0.0 : 1.0 / among[v][v];
            for (int t = v + 1; t < GROUP && first + t < k; t++) {
                double part = among[v][t] * inverse[v], *later = z + (first + t) * np;
                for (long i = 0; i < np; i += LANES) *(vec *)(later + i) -= part * *(const vec *)(q[v] + i);
            }
        }
        for (long c = first + GROUP; c < k; c++) {
            double *other = z + c * np, part[GROUP];
            vec products = NAMED(four_products)(other, q, np);
#pragma GCC unroll 4
            for (int t = 0; t < GROUP; t++) {
                double product = products[t];
#pragma GCC unroll 4
                for (int s = 0; s < t; s++) product -= part[s] * among[t][s];
                part[t] = product * inverse[t];
            }
            for (long i = 0; i < np; i += LANES) {
                vec x = *(vec *)(other + i);
#pragma GCC unroll 4
                for (int t = 0; t < GROUP; t++) x -= part[t] * *(const vec *)(q[t] + i);
                *(vec *)(other + i) = x;
            }
        }
    }
    NAMED(logarithms)(logs, k);
    for (long v = 0; v < k; v++) logs[v] *= 0.5;
}

static int NAMED(log_diagonal_of_r)(long rows, long k, long n, const double *frames, double *logs) {
    long np = padded(n);
    double *z = zeros(k * np);
    if (!z) return 1;
    for (long row = 0; row < rows; row++) {
        for (long v = 0; v < k; v++) memcpy(z + v * np, frames + (row * k + v) * n, n * sizeof(double));
        NAMED(read_off)(z, k, np, logs + row * k);
    }
    free(z);
    return 0;
}

/* ln|det| of so many matrices (n, n), by the same elimination; of a row's Jacobians from `step` on where j is not NULL. */
static int NAMED(log_abs_dets)(const jacobians *j, long row, long step, long count, long n, const double *matrices,
                               double *found) {
    long np = padded(n), h = j ? j->hidden : 0;
    double *z = zeros(n * np + n);
    long long *taken = malloc(np * sizeof(long long));
    long *pivot = malloc(n * sizeof(long));
    if (!z || !taken || !pivot) {
        free(z), free(taken), free(pivot);
        return 1;
    }
    double *logs = z + n * np;
    for (long i = 0; i < count; i++) {
        if (j)
            NAMED(build)(j, row, step + i, z, np);
        else
            for (long v = 0; v < n; v++) memcpy(z + v * np, matrices + (i * n + v) * n, n * sizeof(double));
        if (j && j->shear) { /* on (e, b): u = e + shear*b, and b itself */
            const double *shear = j->shear + row * j->shear_row + (step + i) * h;
            const double *diagonal = j->diagonal + row * j->diagonal_row + (step + i) * h;
            for (long c = 0; c < h; c++) {
                double *by_b = z + (h + c) * np;
                for (long q = 0; q < np; q++) by_b[q] = shear[c] * z[c * np + q];
                by_b[h + c] += diagonal[c];
            }
        }
        NAMED(split_frame)(z, n, n, np, logs, pivot, taken);
        found[i] = 0.0;
        for (long v = 0; v < n; v++) found[i] += logs[v];
    }
    free(z), free(taken), free(pivot);
    return 0;
}

/* Vectors (rows, k, n) at the end of `steps` steps pulled back through the transposed Jacobians.

   logs (rows, lags, k) gets the ln norm of each vector `lag` steps earlier, for the lags where slot[lag] >= 0. */
static int NAMED(pull)(const jacobians *j, long steps, const double *vectors, const long *slot, long lags, double *logs) {
    long n = j->n, k = j->k, h = j->hidden, np = padded(n), width = j->shear ? h : n;
    double *memory = zeros((k + width) * np + k * width + k);
    if (!memory) return 1;
    double *v = memory, *built = v + k * np, *pulled = built + width * np, *scale = pulled + k * width;
    for (long row = 0; row < j->rows; row++) {
        memset(v, 0, k * np * sizeof(double)), memset(scale, 0, k * sizeof(double));
        for (long q = 0; q < k; q++) memcpy(v + q * np, vectors + (row * k + q) * n, n * sizeof(double));
        for (long lag = 0; lag <= steps; lag++) {
            long step = steps - lag; /* the vectors stand before this step */
            for (long q = 0; q < k; q++) {
                double *x = v + q * np, square = 0.0;
                vec part = {0};
                for (long i = 0; i < np; i += LANES) part += *(vec *)(x + i) * *(vec *)(x + i);
                for (int i = 0; i < LANES; i++) square += part[i];
                if (slot[lag] >= 0) logs[(row * lags + slot[lag]) * k + q] = scale[q] + 0.5 * log(square);
                if (square > 0.0 && (square < 1e-200 || square > 1e200)) {
                    double size = sqrt(square);
                    scale[q] += log(size);
                    for (long i = 0; i < np; i++) x[i] /= size;
                }
            }
            if (step == 0) break;
            NAMED(build)(j, row, step - 1, built, np);
            if (j->shear) /* (a, b) to the dual of (e, b) */
                for (long q = 0; q < k; q++)
                    for (long i = 0; i < h; i++)
                        v[q * np + h + i] += j->shear[row * j->shear_row + step * h + i] * v[q * np + i];
            for (long q = 0; q < k; q += GROUP) {
                const double *four[GROUP]; /* the last one again where k is no multiple */
                for (long t = 0; t < GROUP; t++) four[t] = v + (q + t < k ? q + t : k - 1) * np;
                for (long c = 0; c < width; c++) {
                    vec sums = NAMED(four_products)(built + c * np, four, np);
                    for (long t = 0; t < GROUP && q + t < k; t++) pulled[(q + t) * width + c] = sums[t];
                }
            }
            for (long q = 0; q < k; q++) {
                memcpy(v + q * np, pulled + q * width, width * sizeof(double));
                if (j->shear)
                    for (long i = 0; i < h; i++)
                        v[q * np + h + i] *= j->diagonal[row * j->diagonal_row + (step - 1) * h + i];
            }
        }
    }
    free(memory);
    return 0;
}
