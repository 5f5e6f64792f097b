/* The loops, included by kernels.c once for each kind of processor: NAMED gives its name, TILE_ROWS and TILE_COLUMNS the
   tile of a product that fits its registers. */

/* out (R, LANES C), a tile of a (R, m) times b (m, np). R and C are constants where it is called, so that the compiler
   keeps the sums in registers. */
INLINE void NAMED(tile)(const int R, const int C, const double *a, long lda, const double *b, double *out, long m,
                        long np) {
    vec sum[TILE_ROWS][TILE_COLUMNS];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) sum[r][c] = (vec){0};
    for (long j = 0; j < m; j++) {
        vec row[TILE_COLUMNS];
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) row[c] = *(const vec *)(b + j * np + c * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
            for (int c = 0; c < C; c++) sum[r][c] += a[r * lda + j] * row[c];
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) *(vec *)(out + r * np + c * LANES) = sum[r][c];
}

INLINE void NAMED(rows_of_product)(const int R, const double *a, long lda, const double *b, double *out, long m,
                                   long np) {
    long i = 0;
    for (; i + TILE_COLUMNS * LANES <= np; i += TILE_COLUMNS * LANES)
        NAMED(tile)(R, TILE_COLUMNS, a, lda, b + i, out + i, m, np);
    for (; i < np; i += LANES) NAMED(tile)(R, 1, a, lda, b + i, out + i, m, np);
}

/* out (k, np) = a (k, m) times b (m, np), all row-major; np a multiple of LANES. */
INLINE void NAMED(product)(const double *a, long lda, const double *b, double *out, long k, long m, long np) {
    long r = 0;
    for (; r + TILE_ROWS <= k; r += TILE_ROWS)
        NAMED(rows_of_product)(TILE_ROWS, a + r * lda, lda, b, out + r * np, m, np);
    a += r * lda, out += r * np;
    switch (k - r) {
    case 1: NAMED(rows_of_product)(1, a, lda, b, out, m, np); break;
    case 2: NAMED(rows_of_product)(2, a, lda, b, out, m, np); break;
    case 3: NAMED(rows_of_product)(3, a, lda, b, out, m, np); break;
#if TILE_ROWS > 4
    case 4: NAMED(rows_of_product)(4, a, lda, b, out, m, np); break;
    case 5: NAMED(rows_of_product)(5, a, lda, b, out, m, np); break;
    case 6: NAMED(rows_of_product)(6, a, lda, b, out, m, np); break;
    case 7: NAMED(rows_of_product)(7, a, lda, b, out, m, np); break;
#endif
    }
}

/* Row of the largest size among those not taken; the first NaN where there is one. */
INLINE long NAMED(largest)(const double *column, const double *taken, long n, long np) {
    double best[LANES] = {0}, strange[LANES] = {0}, most = 0.0, sum = 0.0;
    for (long i = 0; i < np; i += LANES)
        for (int q = 0; q < LANES; q++) {
            double size = fabs(column[i + q]) * (1.0 - taken[i + q]);
            strange[q] += size - size; /* NaN where size is NaN or infinite */
            best[q] = size > best[q] ? size : best[q];
        }
    for (int q = 0; q < LANES; q++) most = best[q] > most ? best[q] : most, sum += strange[q];
    long p = 0;
    if (sum != 0.0) {
        while (p < n - 1 && column[p] - column[p] == 0.0) p++;
        return p;
    }
    while (p < n - 1 && (taken[p] != 0.0 || fabs(column[p]) < most)) p++;
    return p;
}

/* Split the frame z (k, np) of vectors of length n into W = P L, which replaces it, and U; logs gets ln|diag U|.

   Rows are never swapped: a row that was a pivot has a zero in every later column of L, which is what pivoting does.
   An exactly singular column gives -inf, and a unit vector in the frame, as LAPACK's packed form would. */
INLINE void NAMED(split_frame)(double *z, long k, long n, long np, double *logs, long *pivot, double *taken) {
    memset(taken, 0, np * sizeof(double));
    for (long first = 0; first < k; first += PANEL) {
        long last = first + PANEL < k ? first + PANEL : k;
        for (long j = first; j < last; j++) {
            double *column = z + j * np;
            long p = NAMED(largest)(column, taken, n, np);
            double value = column[p], inverse = 1.0 / value;
            logs[j] = log(fabs(value));
            if (value == 0.0)
                memset(column, 0, np * sizeof(double));
            else if (isfinite(inverse))
                for (long i = 0; i < np; i++) column[i] *= inverse * (1.0 - taken[i]);
            else
                for (long i = 0; i < np; i++) column[i] = column[i] / value * (1.0 - taken[i]);
            column[p] = 0.0; /* for the updates: the row of the pivot keeps its U */
            taken[p] = 1.0, pivot[j] = p;
            for (long c = j + 1; c < last; c++) {
                double *other = z + c * np, u = other[p];
                for (long i = 0; i < np; i += LANES) *(vec *)(other + i) -= u * *(vec *)(column + i);
            }
        }
        for (long c = last; c < k; c += 4) {
            double u[4][PANEL], *other[4];
            long count = last - first, columns = k - c < 4 ? k - c : 4;
            for (int q = 0; q < 4; q++) {
                other[q] = z + (q < columns ? c + q : c) * np;
                for (long t = 0; t < PANEL; t++) u[q][t] = 0.0;
                if (q >= columns) continue;
                for (long t = 0; t < count; t++) {
                    double value = other[q][pivot[first + t]];
                    for (long s = 0; s < t; s++) value -= z[(first + s) * np + pivot[first + t]] * u[q][s];
                    u[q][t] = value;
                }
            }
            const double *panel = z + first * np;
            if (columns == 4 && count == PANEL) {
                for (long i = 0; i < np; i += LANES) {
                    vec sum[4];
                    for (int q = 0; q < 4; q++) sum[q] = *(vec *)(other[q] + i);
                    for (int t = 0; t < PANEL; t++) {
                        vec l = *(const vec *)(panel + t * np + i);
                        for (int q = 0; q < 4; q++) sum[q] -= u[q][t] * l;
                    }
                    for (int q = 0; q < 4; q++) *(vec *)(other[q] + i) = sum[q];
                }
            } else {
                for (long q = 0; q < columns; q++)
                    for (long t = 0; t < count; t++) {
                        const double *l = panel + t * np;
                        for (long i = 0; i < np; i += LANES) *(vec *)(other[q] + i) -= u[q][t] * *(const vec *)(l + i);
                    }
            }
        }
    }
    for (long j = 0; j < k; j++) z[j * np + pivot[j]] = 1.0;
}


INLINE void NAMED(build)(const jacobians *j, long row, long step, double *out, long np) {
    long h = j->hidden, width = j->shear ? h : j->n;
    memset(out, 0, width * np * sizeof(double));
    if (j->dense) {
        const double *matrix = j->matrices + row * j->matrix_row + step * j->n * j->n;
        for (long i = 0; i < j->n; i++)
            for (long c = 0; c < j->n; c++) out[c * np + i] = matrix[i * j->n + c];
        return;
    }
    long network = row / (j->rows / j->networks);
    for (long group = 0; group < j->groups; group++) {
        long gates = j->gates[group];
        const double *gain = j->gains[group] + row * j->gain_row[group] + step * gates * h;
        const double *weight = j->weights[group] + network * gates * width * h;
        for (long g = 0; g < gates; g++)
            for (long c = 0; c < width; c++) {
                double *target = out + c * np + group * h;
                const double *w = weight + (g * width + c) * h, *scale = gain + g * h;
                for (long i = 0; i < h; i++) target[i] += scale[i] * w[i];
            }
    }
    if (j->diagonal && !j->shear) {
        const double *diagonal = j->diagonal + row * j->diagonal_row + step * h;
        for (long i = 0; i < h; i++) out[i * np + i] += diagonal[i];
    }
}

INLINE void NAMED(push)(const jacobians *j, long row, long step, const double *frame, double *out, double *built,
                 double *first, long np) {
    long h = j->hidden;
    NAMED(build)(j, row, step, built, np);
    if (!j->shear) {
        NAMED(product)(frame, np, built, out, j->k, j->n, np);
        return;
    }
    const double *shear = j->shear + row * j->shear_row + step * h;
    const double *diagonal = j->diagonal + row * j->diagonal_row + step * h;
    for (long v = 0; v < j->k; v++) {
        const double *e = frame + v * np, *b = e + h;
        for (long i = 0; i < h; i++) first[v * h + i] = e[i] + shear[i] * b[i];
    }
    NAMED(product)(first, h, built, out, j->k, h, np);
    for (long v = 0; v < j->k; v++) {
        const double *b = frame + v * np + h;
        double *target = out + v * np + h;
        for (long i = 0; i < h; i++) target[i] += diagonal[i] * b[i];
    }
}

static int NAMED(run)(const jacobians *j, long start, long interval, long count, const double *frames, double *out,
                       double *logs) {
    long n = j->n, k = j->k, np = padded(n), width = j->shear ? j->hidden : n;
    double *memory = malloc(((2 * k + width + 1) * np + k * j->hidden) * sizeof(double));
    long *pivot = malloc(k * sizeof(long));
    if (!memory || !pivot) {
        free(memory), free(pivot);
        return 1;
    }
    double *a = memory, *b = a + k * np, *built = b + k * np, *taken = built + width * np, *first = taken + np;
    for (long row = 0; row < j->rows; row++) {
        memset(a, 0, k * np * sizeof(double));
        for (long v = 0; v < k; v++) memcpy(a + v * np, frames + (row * k + v) * n, n * sizeof(double));
        for (long i = 0; i < count; i++) {
            for (long step = start + i * interval; step < start + (i + 1) * interval; step++) {
                NAMED(push)(j, row, step, a, b, built, first, np);
                double *swap = a;
                a = b, b = swap;
            }
            NAMED(split_frame)(a, k, n, np, logs + (i * j->rows + row) * k, pivot, taken);
        }
        for (long v = 0; v < k; v++) memcpy(out + (row * k + v) * n, a + v * np, n * sizeof(double));
    }
    free(memory), free(pivot);
    return 0;
}

/* ln diag R of frames (rows, k, n), by modified Gram-Schmidt, whose R is as accurate as Householder's
   (Björck 1967, BIT 7:1). */
static int NAMED(log_diagonal_of_r)(long rows, long k, long n, const double *frames, double *logs) {
    long np = padded(n);
    double *z = malloc(k * np * sizeof(double));
    if (!z) return 1;
    for (long row = 0; row < rows; row++) {
        memset(z, 0, k * np * sizeof(double));
        for (long v = 0; v < k; v++) memcpy(z + v * np, frames + (row * k + v) * n, n * sizeof(double));
        for (long v = 0; v < k; v++) {
            double *q = z + v * np;
            vec sum = {0};
            for (long i = 0; i < np; i += LANES) sum += *(vec *)(q + i) * *(vec *)(q + i);
            double square = 0.0;
            for (int i = 0; i < LANES; i++) square += sum[i];
            logs[row * k + v] = 0.5 * log(square);
            if (square == 0.0) continue;
            for (long c = v + 1; c < k; c++) {
                double *other = z + c * np, dot = 0.0;
                vec part = {0};
                for (long i = 0; i < np; i += LANES) part += *(vec *)(q + i) * *(vec *)(other + i);
                for (int i = 0; i < LANES; i++) dot += part[i];
                dot /= square;
                for (long i = 0; i < np; i += LANES) *(vec *)(other + i) -= dot * *(vec *)(q + i);
            }
        }
    }
    free(z);
    return 0;
}

/* Vectors (rows, k, n) at the end of `steps` steps pulled back through the transposed Jacobians.

   logs (rows, lags, k) gets the ln norm of each vector `lag` steps earlier, for the lags where slot[lag] >= 0. */
static int NAMED(pull)(const jacobians *j, long steps, const double *vectors, const long *slot, long lags, double *logs) {
    long n = j->n, k = j->k, h = j->hidden, np = padded(n), width = j->shear ? h : n;
    double *memory = malloc(((k + width) * np + k * width + k) * sizeof(double));
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
            for (long c = 0; c < width; c++)
                for (long q = 0; q < k; q++) {
                    vec part = {0};
                    for (long i = 0; i < np; i += LANES)
                        part += *(const vec *)(built + c * np + i) * *(const vec *)(v + q * np + i);
                    double sum = 0.0;
                    for (int i = 0; i < LANES; i++) sum += part[i];
                    pulled[q * width + c] = sum;
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

INLINE double NAMED(logistic)(double x) { return 1.0 / (1.0 + exp(-x)); }

/* States (batch, steps + 1, 2 hidden) of an LSTM, the first given, and in `gates` (batch, steps, 4 hidden), which holds
   the inputs' shares, the pre-activations of i, f, g, o. weight_t is W_hh transposed, (hidden, 4 hidden). */
static int NAMED(lstm)(long batch, long steps, long hidden, const double *weight_t, double *gates, double *states) {
    long wide = 4 * hidden, np = padded(wide);
    double *memory = malloc((hidden + 1) * np * sizeof(double));
    if (!memory) return 1;
    double *weight = memory, *added = memory + hidden * np;
    memset(weight, 0, hidden * np * sizeof(double));
    for (long c = 0; c < hidden; c++) memcpy(weight + c * np, weight_t + c * wide, wide * sizeof(double));
    for (long row = 0; row < batch; row++)
        for (long step = 0; step < steps; step++) {
            double *gate = gates + (row * steps + step) * wide;
            const double *before = states + (row * (steps + 1) + step) * 2 * hidden;
            double *after = states + (row * (steps + 1) + step + 1) * 2 * hidden;
            NAMED(product)(before, hidden, weight, added, 1, hidden, np);
            for (long i = 0; i < wide; i++) gate[i] += added[i];
            for (long i = 0; i < hidden; i++) {
                double c = NAMED(logistic)(gate[hidden + i]) * before[hidden + i] +
                           NAMED(logistic)(gate[i]) * tanh(gate[2 * hidden + i]);
                after[hidden + i] = c;
                after[i] = NAMED(logistic)(gate[3 * hidden + i]) * tanh(c);
            }
        }
    free(memory);
    return 0;
}
