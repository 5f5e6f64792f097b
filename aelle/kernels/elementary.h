/* Exponentials, logarithms and gates of a register of numbers at once, to a few units in the last place.

   Included once for each kind of processor, with NAMED. Callers keep arguments in the range that is stated. */

#define EACH(expression)                                                                                               \
    for (int q = 0; q < LANES; q++) expression

/* exp(x), and exp(x) - 1 to its own last places; |x| < 708. */
INLINE void NAMED(exponential)(vec x, vec *e, vec *less_one) {
    vec shifted = x * 1.4426950408889634 + 6755399441055744.0; /* 1.5 * 2^52: the sum's low bits are a whole number */
    vec n = shifted - 6755399441055744.0;
    vec r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10; /* ln 2 in two parts (fdlibm) */
    vec p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0; /* Taylor: |r| < 0.35 */
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = r + r * r * p;
    vec scale = (vec)(((ivec)shifted + 1023) << 52);
    *e = scale + scale * p;
    *less_one = scale * p + (scale - 1.0);
}

INLINE vec NAMED(size)(vec x) { return (vec)((ivec)x & 0x7fffffffffffffffLL); }

/* x where the mask is set, else y. */
INLINE vec NAMED(either)(ivec mask, vec x, vec y) { return (vec)(((ivec)x & mask) | ((ivec)y & ~mask)); }

INLINE ivec NAMED(greater)(ivec x, ivec y) {
    ivec mask = x > y;
    return (x & mask) | (y & ~mask);
}

/* The logistic function and its slope, which stays exact where it saturates; |x| < 700. */
INLINE vec NAMED(logistic)(vec x, vec *slope) {
    vec e, unused;
    NAMED(exponential)(-NAMED(size)(x), &e, &unused);
    vec inverse = 1.0 / (1.0 + e), other = e * inverse;
    *slope = other * inverse;
    return NAMED(either)(x < 0.0, other, inverse);
}

/* The hyperbolic tangent and its slope; |x| < 350. */
INLINE vec NAMED(tangent)(vec x, vec *slope) {
    vec e, less_one;
    NAMED(exponential)(-2.0 * NAMED(size)(x), &e, &less_one);
    vec inverse = 1.0 / (1.0 + e);
    *slope = 4.0 * e * inverse * inverse;
    return (vec)((ivec)(-less_one * inverse) | ((ivec)x & ~0x7fffffffffffffffLL));
}

/* ln of positive numbers that are neither infinite nor below the normal ones (fdlibm's e_log.c, by S. Moshier's form). */
INLINE vec NAMED(logarithm)(vec x) {
    ivec bits = (ivec)x, shifted = bits + (0x3ff0000000000000LL - 0x3fe6a09e667f3bcdLL); /* m in [sqrt(1/2), sqrt(2)) */
    ivec exponent = (shifted >> 52) - 1023;
    vec m = (vec)(bits - (exponent << 52));
    vec n = (vec)(exponent + 0x4338000000000000LL) - 6755399441055744.0;
    vec f = m - 1.0, s = f / (2.0 + f), z = s * s;
    vec r = z * 1.479819860511658591e-01 + 1.531383769920937332e-01;
    r = r * z + 1.818357216161805012e-01;
    r = r * z + 2.222219843214978396e-01;
    r = r * z + 2.857142874366239149e-01;
    r = r * z + 3.999999999940941908e-01;
    r = r * z + 6.666666666666735130e-01;
    r = r * z;
    vec half = 0.5 * f * f;
    return n * 6.93147180369123816490e-01 - ((half - (s * (half + r) + n * 1.90821492927058770002e-10)) - f);
}

/* ln|x| of `count` numbers, in place. */
INLINE void NAMED(logarithms)(double *x, long count) {
    for (long i = 0; i < count; i += LANES) {
        long here = count - i < LANES ? count - i : LANES, ordinary = 1;
        double part[LANES];
        EACH(part[q] = q < here ? fabs(x[i + q]) : 1.0);
        EACH(ordinary &= part[q] >= 2.2250738585072014e-308 && part[q] <= 1.7976931348623157e308);
        if (ordinary)
            *(vec *)part = NAMED(logarithm)(*(vec *)part);
        else
            EACH(part[q] = log(part[q]));
        for (long q = 0; q < here; q++) x[i + q] = part[q];
    }
}
