/* The inner loops of small networks: frames pushed through Jacobians, split by pivoted elimination, and read off.

   A step of a network of a few tens of units is some microseconds of arithmetic. A dozen calls of an array library
   take longer than that, so the loops stand here. Larger networks are left to torch, whose matrix products win there.

   Frames are stored as rows: k vectors of length n. Inside, vectors are padded with zeros to whole registers. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define PANEL 8 /* columns eliminated at once */
#define GROUP 4 /* vectors projected off at once */
#define INLINE static inline __attribute__((always_inline))
typedef double vec __attribute__((vector_size(64), aligned(8), may_alias));
typedef long long ivec __attribute__((vector_size(64), aligned(8), may_alias));

/* Lanes of x and y, by number, 8 and above those of y. */
#ifdef __clang__
#define JOINED(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define JOINED(x, y, ...) __builtin_shuffle(x, y, (ivec){__VA_ARGS__})
#endif

/* Zeros on a boundary of registers: loads across one take twice as long. NULL where memory is short. */
static double *zeros(size_t count) {
    size_t bytes = (count * sizeof(double) + 63) / 64 * 64;
    double *found = aligned_alloc(64, bytes ? bytes : 64);
    if (found) memset(found, 0, bytes);
    return found;
}

static long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

/* One row's Jacobians, transposed so that a frame is pushed by `product`.

   groups of gates, one below the other: sum over gates of diag(gain) W, with an optional diagonal; or, sheared, in the
   coordinates (e, b) with u = e + shear*b: the frame (e, b) goes to (M_e u, M_b u + diagonal*b). */
typedef struct {
    long rows, networks, n, k, hidden, groups, dense;
    long gates[2];
    const double *weights[2];   /* per group (networks, gates, n_in, hidden): transposed */
    const double *gains[2];     /* per group (rows, steps, gates, hidden) */
    long gain_row[2];           /* doubles from one row to the next */
    const double *matrices;     /* dense: (rows, steps, n, n), or NULL */
    long matrix_row;
    const double *diagonal;     /* (rows, steps, hidden), or NULL */
    long diagonal_row;
    const double *shear;        /* (rows, steps + 1, hidden), or NULL */
    long shear_row;
} jacobians;

/* How long intervals are, and what was learnt of it: `AdaptiveInterval` of lyapunov/interval.py, whose rule this is. */
typedef struct {
    long steps, done, fixed, longest, reconsidered;
    double average, unit, noise, range, rounding_tolerance, residual_tolerance, largest_loss;
} schedule;

/* A way through a piece of trajectory. */
typedef struct {
    long start, stop, marks;
    const long *mark;           /* steps, ascending, above start */
    const double *determinants; /* ln|det J| (rows, steps), or NULL */
    long determinants_row;
    double lowest, highest;     /* range of logarithms */
    double *frames;             /* (rows, k, n), in and out */
    double *logs;               /* (intervals, rows, k) */
    double *residuals;          /* (intervals, rows): sums less determinants, where there are any */
    long *lengths;              /* (intervals): steps of each */
    long *intervals_before;     /* (marks) */
    double *mark_logs;          /* (marks, rows, k): ln diag R in the coordinates of the state */
    long position, done, marked; /* out: where it stopped, intervals done, marks passed */
} passage;

/* Where the gains of an LSTM go; see lstm.h. */
typedef struct {
    long whole;
    double *by_gate, *output, *forget, *shear, *volume;
} lstm_gains;

/* The kind of loops to use at most: 0 plain, 1 AVX2, 2 AVX-512. For tests. */
static int limit = 2;

/* Counted up with every change of what is called from outside: library.py takes no other. */
int aelle_interface(void) { return 3; }

void aelle_limit(int most) { limit = most; }

/* The same loops for three kinds of processor: with 16, 32 and (on x86) 32 registers of twice and four times the width. */
#define TILE_ROWS 4
#define TILE_COLUMNS 1
#define NAMED(name) name##_plain
#include "elementary.h"
#include "loops.h"
#include "frames.h"
#include "advance.h"
#include "lstm.h"
#undef NAMED

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define NAMED(name) name##_avx2
#include "elementary.h"
#include "loops.h"
#include "frames.h"
#include "advance.h"
#include "lstm.h"
#undef NAMED
#pragma GCC pop_options
#undef TILE_ROWS
#undef TILE_COLUMNS
#define TILE_ROWS 8
#define TILE_COLUMNS 2
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define NAMED(name) name##_avx512
#include "elementary.h"
#include "loops.h"
#include "frames.h"
#include "advance.h"
#include "lstm.h"
#undef NAMED
#pragma GCC pop_options
static int kind(void) {
    int found = __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
    return found < limit ? found : limit;
}
#define CHOSEN(name) (kind() == 2 ? name##_avx512 : kind() == 1 ? name##_avx2 : name##_plain)
#else
#define CHOSEN(name) name##_plain
#endif

/* Push frames (rows, k, n) through `count` intervals of Jacobians and split them after each.

   logs gets ln|diag U|, (count, rows, k); out the frames after the last. Returns 0, or 1 where memory is short. */
int aelle_run(const jacobians *j, long start, long interval, long count, const double *frames, double *out,
              double *logs) {
    return CHOSEN(run)(j, start, interval, count, frames, out, logs);
}

/* ln diag R of frames (rows, k, n), (rows, k). Returns 0, or 1 where memory is short. */
int aelle_log_diagonal_of_r(long rows, long k, long n, const double *frames, double *logs) {
    return CHOSEN(log_diagonal_of_r)(rows, k, n, frames, logs);
}

/* Vectors pulled back through transposed Jacobians; see frames.h. Returns 0, or 1 where memory is short. */
int aelle_pull(const jacobians *j, long steps, const double *vectors, const long *slot, long lags, double *logs) {
    return CHOSEN(pull)(j, steps, vectors, slot, lags, logs);
}

/* Frames along p, by intervals as s learns them, to its end or to the first interval that is none of the ordinary kind: one
   whose logarithms leave the range of numbers, or whose determinant is infinite. Returns 0, or 1 where memory is short. */
int aelle_advance(const jacobians *j, schedule *s, passage *p) { return CHOSEN(advance)(j, s, p); }

/* ln|det| of a matrix (n, n). Returns 0, or 1 where memory is short. */
int aelle_log_abs_det(long n, const double *matrix, double *found) {
    return CHOSEN(log_abs_dets)(NULL, 0, 0, 1, n, matrix, found);
}

/* ln|det J| of the steps from `step` on, (rows, count). Returns 0, or 1 where memory is short. */
int aelle_determinants(const jacobians *j, long step, long count, double *found) {
    for (long row = 0; row < j->rows; row++)
        if (CHOSEN(log_abs_dets)(j, row, step, count, j->n, NULL, found + row * count)) return 1;
    return 0;
}

/* The trajectory of an LSTM, and its gains where `to` is not NULL; see lstm.h. Returns 0, 1 where memory is short, 2 where
   gates are too far out. */
int aelle_lstm(long batch, long steps, long hidden, const double *weight_t, const double *gates, double *states,
               const lstm_gains *to) {
    return CHOSEN(lstm)(batch, steps, hidden, weight_t, gates, states, to);
}
