/* The trajectory of an LSTM with all that its Jacobians are made of. */

INLINE vec NAMED(some)(const double *x, long count) {
    if (count >= LANES) return *(const vec *)x;
    vec found = {0};
    for (long q = 0; q < count; q++) found[q] = x[q];
    return found;
}

INLINE void NAMED(keep)(double *x, vec value, long count) {
    if (count >= LANES) *(vec *)x = value;
    else
        for (long q = 0; q < count; q++) x[q] = value[q];
}

/* prod * 2^exponent = the product of all sizes so far; every lane of prod stays in [1, 2). */
INLINE void NAMED(multiply)(vec *prod, ivec *exponent, vec size) {
    ivec bits = (ivec)(*prod * size);
    *exponent += (bits >> 52) - 1023;
    *prod = (vec)((bits & 0xfffffffffffffLL) | 0x3ff0000000000000LL);
}

/* States (batch, steps + 1, 2 hidden) of an LSTM, the first given, and the gains of its gates.

   gates (batch, steps, 4 hidden) are the inputs' shares of the pre-activations of i, f, g, o; weight_t is W_hh transposed,
   (hidden, 4 hidden). With `whole`, output (batch, steps, hidden) is the factor of W_o in dh', by_gate (batch, steps, 3,
   hidden) those of W_i, W_f, W_g in dc', and forget, shear (batch, steps, hidden) and volume (batch, steps) as `LSTM._terms`
   has them, the determinant of W_o left out. Else by_gate (batch, steps, 4, hidden) holds the factors of the four in dh' at
   fixed c. Returns 2 where a gate is too far out for this: nothing that is given back holds then. */
static int NAMED(lstm)(long batch, long steps, long hidden, const double *weight_t, const double *gates, double *states,
                       const lstm_gains *to) {
    long wide = 4 * hidden, np = padded(wide);
    double *memory = zeros((hidden + batch) * np);
    if (!memory) return 1;
    double *weight = memory, *added = memory + hidden * np;
    for (long c = 0; c < hidden; c++) memcpy(weight + c * np, weight_t + c * wide, wide * sizeof(double));
    ivec outside = {0};
    for (long step = 0; step < steps; step++) {
        NAMED(product)(states + step * 2 * hidden, (steps + 1) * 2 * hidden, weight, added, batch, hidden, np);
        for (long row = 0; row < batch; row++) {
            long at = row * steps + step;
            const double *from_x = gates + at * wide, *from_h = added + row * np;
            const double *before = states + (row * (steps + 1) + step) * 2 * hidden;
            double *after = states + (row * (steps + 1) + step + 1) * 2 * hidden;
            vec prod = (vec){0} + 1.0;
            ivec exponent = {0};
            for (long i = 0; i < hidden; i += LANES) {
                long left = hidden - i;
                vec a[4], slope_i, slope_f, slope_g, slope_o, slope_c, c = NAMED(some)(before + hidden + i, left);
                for (int g = 0; g < 4; g++) {
                    a[g] = NAMED(some)(from_x + g * hidden + i, left) + NAMED(some)(from_h + g * hidden + i, left);
                    outside |= ~(NAMED(size)(a[g]) < 340.0);
                }
                vec in = NAMED(logistic)(a[0], &slope_i), forget = NAMED(logistic)(a[1], &slope_f);
                vec candidate = NAMED(tangent)(a[2], &slope_g), open = NAMED(logistic)(a[3], &slope_o);
                vec next = forget * c + in * candidate;
                outside |= ~(NAMED(size)(next) < 340.0);
                vec bent = NAMED(tangent)(next, &slope_c), shear = open * slope_c;
                NAMED(keep)(after + i, open * bent, left);
                NAMED(keep)(after + hidden + i, next, left);
                if (!to) continue;
                vec by[3] = {candidate * slope_i, c * slope_f, in * slope_g}, output = bent * slope_o;
                if (!to->whole)
                    for (int g = 0; g < 3; g++) by[g] *= shear;
                double *gain = to->by_gate + at * (to->whole ? 3 : 4) * hidden + i;
                for (int g = 0; g < 3; g++) NAMED(keep)(gain + g * hidden, by[g], left);
                NAMED(keep)(to->whole ? to->output + at * hidden + i : gain + 3 * hidden, output, left);
                if (!to->whole) continue;
                NAMED(keep)(to->forget + at * hidden + i, forget, left);
                NAMED(keep)(to->shear + at * hidden + i, shear, left);
                vec size = NAMED(size)(output), door = forget;
                for (long q = left; q < LANES; q++) size[q] = door[q] = 1.0;
                outside |= ~(size > 1e-290);
                NAMED(multiply)(&prod, &exponent, size);
                NAMED(multiply)(&prod, &exponent, door);
            }
            if (to && to->whole) {
                double whole = 1.0, twos = 0.0;
                EACH((whole *= prod[q], twos += exponent[q]));
                to->volume[at] = log(whole) + 0.693147180559945309417 * twos;
            }
        }
    }
    free(memory);
    long far = 0;
    EACH(far |= outside[q]);
    return far ? 2 : 0;
}
