// How many numbers there are, their mean and the sum of their squared deviations from it.
struct Moments {
    float numbers, mean, deviations;
};

// Of two sets together (Chan, Golub and LeVeque 1979, formula 2.1b).
Moments merged(Moments a, Moments b)
{
    if (b.numbers == 0)
        return a;
    const float all = a.numbers + b.numbers, difference = b.mean - a.mean, share = b.numbers / all;
    return Moments(all, a.mean + difference * share,
                   a.deviations + b.deviations + difference * difference * (a.numbers * share));
}
