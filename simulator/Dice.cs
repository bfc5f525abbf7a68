// SPDX-License-Identifier: MIT
namespace Iwpmd.Simulation;

/// <summary>All chance of a history, from its seed (splitmix64).</summary>
internal sealed class Dice(ulong seed)
{
    private ulong _state = seed;

    public ulong Next64()
    {
        ulong z = _state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    /// <summary>From 0 to below <paramref name="limit"/>.</summary>
    public int Next(int limit) => (int)(Next64() % (ulong)limit);

    public bool Chance(double share) => (Next64() >> 11) * (1.0 / (1UL << 53)) < share;

    public TimeSpan Time(TimeSpan least, TimeSpan most) =>
        least + TimeSpan.FromTicks((long)(Next64() % (ulong)(most - least).Ticks));

    /// <summary>As likely short as long: each order of magnitude has its share.</summary>
    public TimeSpan TimeOfAnyOrder(TimeSpan least, TimeSpan most)
    {
        double exponent = (Next64() >> 11) * (1.0 / (1UL << 53));
        return least * Math.Pow(most / least, exponent);
    }

    public T Of<T>(IReadOnlyList<T> choices) => choices[Next(choices.Count)];
}
