// What generated kernels are made of. T is float, or vec4 where VECTOR is 1.
#if VECTOR
#define T vec4
#define WHERE_LESS(a, limit, x, y) mix(y, x, lessThan(a, T(limit)))
#define WHERE_NUMBER(a, x) mix(a, x, equal(a, a))
#else
#define T float
#define WHERE_LESS(a, limit, x, y) ((a) < (limit) ? (x) : (y))
#define WHERE_NUMBER(a, x) ((a) == (a) ? (x) : (a))
#endif

// Selections, not max and min: those may turn a NaN into a number, and hide that training has broken down.
T relu(T a)
{
    return WHERE_LESS(a, 0.0, T(0), a);
}

T leaky_relu(T a, T slope)
{
    return WHERE_LESS(a, 0.0, slope * a, a);
}

// a > 0 ? 1 : slope
T leaky_step(T a, T slope)
{
    return WHERE_LESS(-a, 0.0, T(1), slope);
}

// eᵃ and log a: the driver's own are good enough (a few units in the last place) wherever they were measured, but
// SwiftShader's make numbers of a NaN.
T precise_exp(T a)
{
    return WHERE_NUMBER(a, exp(a));
}

T precise_log(T a)
{
    return WHERE_NUMBER(a, log(a));
}

// Drivers build tanh from exponentials, which overflows at large |a| and loses its digits at small ones.
T precise_tanh(T a)
{
    T x = WHERE_LESS(a, -10.0, T(-10), a); // no clamp(): a NaN stays one
    T e = precise_exp(2.0 * WHERE_LESS(-x, -10.0, T(10), x));
    T s = a * a;
    T series = a * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    return WHERE_LESS(abs(a), 0.3, series, (e - 1.0) / (e + 1.0));
}

T sigmoid(T a)
{
    T e = precise_exp(-abs(a));
    T r = 1.0 / (1.0 + e);
    return WHERE_LESS(a, 0.0, e * r, r);
}

// log(1 + e) for 0 ≤ e ≤ 1; the series where 1 + e would round e away
T log_of_one_plus(T e)
{
    T series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25)));
    return WHERE_LESS(e, 0.03, series, precise_log(1.0 + e));
}

T softplus(T a)
{
    return relu(a) + log_of_one_plus(precise_exp(-abs(a)));
}
