/* Frames taken along a whole piece of trajectory: intervals chosen on the way, split after each, read off at the marks. */

/* What an interval lost, as lyapunov/interval.py has it: of a determinant, the mean distance of the sums from it; without
   one, the bound from the growth gaps, of the direction that loses most. NaN where there is no telling. */
INLINE double NAMED(lost)(const jacobians *j, const schedule *s, const double *logs, const double *residuals,
                          double *sums) {
    long k = j->k, kp = padded(k);
    double mean = 0.0, most = 0.0;
    if (residuals) {
        for (long row = 0; row < j->rows; row++) mean += fabs(residuals[row]);
        return mean / j->rows;
    }
    double *gaps = sums + kp;
    memset(sums, 0, 2 * kp * sizeof(double));
    for (long row = 0; row < j->rows; row++) {
        double highest = logs[row * k];
        for (long v = 0; v < k; v++) {
            double l = logs[row * k + v], gap;
            highest = l > highest ? l : highest;
            gap = highest - l;
            gaps[v] = gap < 700.0 ? gap : 700.0;
        }
        for (long v = 0; v < kp; v += LANES) {
            vec e, unused;
            NAMED(exponential)(*(vec *)(gaps + v), &e, &unused);
            *(vec *)(sums + v) += e;
        }
    }
    for (long v = 0; v < k; v++) most = sums[v] > most ? sums[v] : most;
    return s->unit * most / j->rows;
}

/* As many steps more as leave the average loss below the tolerance, up to twice as many as now. */
static void NAMED(try_longer)(const jacobians *j, schedule *s, const double *logs, double tolerance) {
    double steepest = 0.0, gaps = 0.0;
    for (long row = 0; row < j->rows; row++) {
        double highest = logs[row * j->k], most = 0.0;
        for (long v = 0; v < j->k; v++) {
            double l = logs[row * j->k + v], size = fabs(l);
            highest = l > highest ? l : highest;
            most = highest - l > most ? highest - l : most;
            steepest = size > steepest ? size : steepest;
        }
        gaps += most;
    }
    steepest /= s->steps;
    double gap = gaps / j->rows / s->steps, reach = 0.8 * s->range / (steepest > 1.0 ? steepest : 1.0);
    long longest = reach < s->longest ? (long)reach : s->longest;
    if (s->average >= tolerance) return;
    double room = log(tolerance / (s->average > s->noise ? s->average : s->noise));
    if (room < 0.0) return;
    double more = room / (0.85 * gap > 1e-3 ? 0.85 * gap : 1e-3);
    long added = more < s->steps ? (long)more : s->steps;
    added = added < longest - s->steps ? added : longest - s->steps;
    if (added > 0) s->steps += added, s->average = 0.0, s->done = 0;
}

/* Choose the next interval; 0 where this one lost too much and has to be done again. */
static int NAMED(fits)(const jacobians *j, schedule *s, long interval, double loss, const double *logs,
                       double tolerance) {
    if (s->fixed) return 1;
    loss /= interval;
    if (interval > 1 && !(loss <= 5.0 * tolerance)) {
        s->steps = interval - 1, s->average = 0.0, s->done = 0;
        return 0;
    }
    if (interval != s->steps) return 1;
    loss = loss < s->largest_loss * tolerance ? loss : s->largest_loss * tolerance;
    s->average = s->done == 0 ? loss : 0.7 * s->average + 0.3 * loss;
    s->done++;
    if (s->steps > 1 && !(s->average <= tolerance))
        s->steps -= 1, s->average = 0.0, s->done = 0;
    else if (s->steps < s->longest && (s->done <= 2 || s->done % s->reconsidered == 0))
        NAMED(try_longer)(j, s, logs, tolerance);
    return 1;
}

/* One row's frame (k, np) through an interval, into out, and split there; `work` is two frames more. */
static __attribute__((noinline)) void NAMED(interval)(const jacobians *j, long row, long start, long steps, const double *frame, double *out,
                                                       double *work, double *built, double *first,
                                                       double *logs, long *pivot, long long *taken) {
    long np = padded(j->n);
    double *a = work, *b = work + j->k * np;
    for (long step = start; step < start + steps; step++) {
        double *target = step == start + steps - 1 ? out : a;
        NAMED(push)(j, row, step, frame, target, built, first, np);
        frame = target, a = b, b = target;
    }
    NAMED(split_frame)(out, j->k, j->n, np, logs, pivot, taken);
}

/* Whether all logarithms of an interval lie in the range of numbers, and its sums, if they have determinants, say something;
   residuals (rows) are its sums less these. */
INLINE int NAMED(ordinary)(const jacobians *j, const passage *p, long start, long steps, const double *logs,
                           double *residuals) {
    int inside = 1;
    for (long i = 0; i < j->rows * j->k; i++) inside &= logs[i] > p->lowest && logs[i] < p->highest;
    if (!inside || !p->determinants) return inside;
    for (long row = 0; row < j->rows; row++) {
        double sum = 0.0, expected = 0.0;
        for (long v = 0; v < j->k; v++) sum += logs[row * j->k + v];
        for (long step = start; step < start + steps; step++) expected += p->determinants[row * p->determinants_row + step];
        residuals[row] = sum - expected;
        inside &= isfinite(residuals[row]) != 0;
    }
    return inside;
}

/* ln diag R (rows, k) of the frames before `step`, in the coordinates of the state. */
INLINE void NAMED(mark)(const jacobians *j, long step, const double *frames, double *z, double *logs) {
    long np = padded(j->n), h = j->hidden;
    for (long row = 0; row < j->rows; row++) {
        memcpy(z, frames + row * j->k * np, j->k * np * sizeof(double));
        if (j->shear)
            for (long v = 0; v < j->k; v++)
                for (long i = 0; i < h; i++)
                    z[v * np + i] += j->shear[row * j->shear_row + step * h + i] * z[v * np + h + i];
        NAMED(read_off)(z, j->k, np, logs + row * j->k);
    }
}

static int NAMED(advance)(const jacobians *j, schedule *s, passage *p) {
    long n = j->n, k = j->k, np = padded(n), width = j->shear ? j->hidden : n, rows = j->rows, frame = k * np;
    double *memory = zeros(2 * rows * frame + 2 * frame + (width + 1) * np + 2 * padded(k) + k * j->hidden);
    long *pivot = malloc(k * sizeof(long)), mark = 0;
    if (!memory || !pivot) {
        free(memory), free(pivot);
        return 1;
    }
    double *now = memory, *next = now + rows * frame, *work = next + rows * frame, *built = work + 2 * frame;
    double *sums = built + (width + 1) * np, *first = sums + 2 * padded(k);
    long long *taken = (long long *)(built + width * np);
    double tolerance = p->determinants ? s->residual_tolerance : s->rounding_tolerance;
    for (long v = 0; v < rows * k; v++) memcpy(now + v * np, p->frames + v * n, n * sizeof(double));
    long position = p->start, done = 0;
    while (position < p->stop) {
        long end = mark < p->marks ? p->mark[mark] : p->stop, steps = s->steps < end - position ? s->steps : end - position;
        double *logs = p->logs + done * rows * k, *residuals = p->determinants ? p->residuals + done * rows : NULL;
        for (long row = 0; row < rows; row++)
            NAMED(interval)(j, row, position, steps, now + row * frame, next + row * frame, work, built, first,
                            logs + row * k, pivot, taken);
        if (!NAMED(ordinary)(j, p, position, steps, logs, residuals)) break;
        double loss = s->fixed ? 0.0 : NAMED(lost)(j, s, logs, residuals, sums);
        if (!NAMED(fits)(j, s, steps, loss, logs, tolerance)) continue;
        double *swap = now;
        now = next, next = swap, position += steps, p->lengths[done++] = steps;
        if (mark < p->marks && position == p->mark[mark]) {
            NAMED(mark)(j, position, now, work, p->mark_logs + mark * rows * k);
            p->intervals_before[mark++] = done;
        }
    }
    for (long v = 0; v < rows * k; v++) memcpy(p->frames + v * n, now + v * np, n * sizeof(double));
    p->position = position, p->done = done, p->marked = mark;
    free(memory), free(pivot);
    return 0;
}

/* Frames (rows, k, n) through `count` intervals of fixed length; for looks, and pieces that are done one by one. */
static int NAMED(run)(const jacobians *j, long start, long interval, long count, const double *frames, double *out,
                      double *logs) {
    long n = j->n, k = j->k, np = padded(n), width = j->shear ? j->hidden : n, frame = k * np;
    double *memory = zeros(4 * frame + (width + 1) * np + k * j->hidden);
    long *pivot = malloc(k * sizeof(long));
    if (!memory || !pivot) {
        free(memory), free(pivot);
        return 1;
    }
    double *now = memory, *next = now + frame, *work = next + frame, *built = work + 2 * frame;
    long long *taken = (long long *)(built + width * np);
    for (long row = 0; row < j->rows; row++) {
        for (long v = 0; v < k; v++) memcpy(now + v * np, frames + (row * k + v) * n, n * sizeof(double));
        for (long i = 0; i < count; i++) {
            NAMED(interval)(j, row, start + i * interval, interval, now, next, work, built, built + (width + 1) * np,
                            logs + (i * j->rows + row) * k, pivot, taken);
            double *swap = now;
            now = next, next = swap;
        }
        for (long v = 0; v < k; v++) memcpy(out + (row * k + v) * n, now + v * np, n * sizeof(double));
    }
    free(memory), free(pivot);
    return 0;
}
