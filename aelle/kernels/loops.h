/* Jacobians built and applied, included by kernels.c once for each kind of processor: NAMED gives its name, TILE_ROWS and
   TILE_COLUMNS the tile of a product that fits its registers. */

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
static __attribute__((noinline)) void NAMED(product)(const double *a, long lda, const double *b, double *out, long k, long m, long np) {
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

/* out (h) = the sum over G gates of scale[g] * w[g], each (h); G is a constant where it is called. */
INLINE void NAMED(sum_of_gates)(const int G, const double *w, long gate, const double *scale, double *out, long h) {
    long i = 0;
    for (; i + LANES <= h; i += LANES) {
        vec sum = *(const vec *)(scale + i) * *(const vec *)(w + i);
#pragma GCC unroll 4
        for (int g = 1; g < G; g++) sum += *(const vec *)(scale + g * h + i) * *(const vec *)(w + g * gate + i);
        *(vec *)(out + i) = sum;
    }
    for (; i < h; i++) {
        out[i] = scale[i] * w[i];
        for (int g = 1; g < G; g++) out[i] += scale[g * h + i] * w[g * gate + i];
    }
}

/* One step's Jacobian of one row, transposed and padded: (width, np). */
INLINE void NAMED(build)(const jacobians *j, long row, long step, double *out, long np) {
    long h = j->hidden, width = j->shear ? h : j->n;
    for (long c = 0; c < width; c++)
        for (long i = j->n; i < np; i++) out[c * np + i] = 0.0;
    if (j->dense) {
        const double *matrix = j->matrices + row * j->matrix_row + step * j->n * j->n;
        for (long i = 0; i < j->n; i++)
            for (long c = 0; c < j->n; c++) out[c * np + i] = matrix[i * j->n + c];
        return;
    }
    long network = row / (j->rows / j->networks);
    for (long group = 0; group < j->groups; group++) {
        long gates = j->gates[group], gate = width * h;
        const double *gain = j->gains[group] + row * j->gain_row[group] + step * gates * h;
        const double *weight = j->weights[group] + network * gates * gate;
        for (long c = 0; c < width; c++) {
            double *target = out + c * np + group * h;
            switch (gates) {
            case 1: NAMED(sum_of_gates)(1, weight + c * h, gate, gain, target, h); break;
            case 2: NAMED(sum_of_gates)(2, weight + c * h, gate, gain, target, h); break;
            case 3: NAMED(sum_of_gates)(3, weight + c * h, gate, gain, target, h); break;
            case 4: NAMED(sum_of_gates)(4, weight + c * h, gate, gain, target, h); break;
            default: NAMED(sum_of_gates)(gates, weight + c * h, gate, gain, target, h);
            }
        }
    }
    if (j->diagonal && !j->shear) {
        const double *diagonal = j->diagonal + row * j->diagonal_row + step * h;
        for (long i = 0; i < h; i++) out[i * np + i] += diagonal[i];
    }
}

/* The frame (k, np) one step on, into out; `built` (width, np) and `first` (k, hidden) are overwritten. */
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
