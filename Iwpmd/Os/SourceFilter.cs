// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Has the kernel drop most datagrams of unvalidated hosts before it costs a place in a socket. It is coarse: with many
/// known sources it knows their networks only.
/// </summary>
internal sealed class SourceFilter
{
    private const uint Whole = uint.MaxValue, Nothing = 0;
    private const int V4Source = 12, V6Source = 8;

    /// <summary>
    /// So many make a program that fits into what a socket may have of options (net.core.optmem_max, 20 KB as a rule).
    /// </summary>
    private const int MaxNetworks = 256;
    private const int LeafSize = 4;

    private readonly BpfProgram _rules = new();
    private readonly List<int> _leaps = new(MaxNetworks / 2); // over the rest, from where no network was found

    /// <summary>
    /// Lets through what comes from a known source, and one in <paramref name="share"/> (a power of two) of the rest.
    /// The program is good until the next one is made.
    /// </summary>
    /// <param name="known">v4 addresses, or v6 networks of 64 bits; it is used up.</param>
    public BpfProgram Make(IpFamily family, Span<ulong> known, int share)
    {
        _rules.Clear();
        _leaps.Clear();
        foreach (ref ulong one in known)
        {
            one = (uint)(one >> 32) ^ (uint)one; // what the program looks for: both halves in one word
        }
        Span<ulong> networks = Networks(known, out int shift);
        if (family == IpFamily.V4)
        {
            _rules.Load(Libc.SKF_NET_OFF + V4Source);
        }
        else
        {
            _rules.Load(Libc.SKF_NET_OFF + V6Source);
            _rules.Tax();
            _rules.Load(Libc.SKF_NET_OFF + V6Source + sizeof(uint));
            _rules.AluX(Libc.BPF_XOR);
        }
        _rules.Alu(Libc.BPF_RSH, (uint)shift);
        Search(networks);
        foreach (int leap in _leaps)
        {
            _rules.Patch(leap);
        }
        _rules.Load(Libc.SKF_AD_OFF + Libc.SKF_AD_RANDOM);
        _rules.Alu(Libc.BPF_AND, (uint)share - 1);
        _rules.Jump(Libc.BPF_JEQ, 0, then: 0, otherwise: 1);
        _rules.Return(Whole);
        _rules.Return(Nothing);
        return _rules;
    }

    /// <summary>The keys without their last bits, each once: as few bits as it takes to have few enough.</summary>
    private static Span<ulong> Networks(Span<ulong> keys, out int shift)
    {
        keys.Sort();
        for (shift = 0; ; shift++)
        {
            int count = 0;
            ulong last = 0;
            foreach (ulong key in keys)
            {
                count += count == 0 || key >> shift != last ? 1 : 0;
                last = key >> shift;
            }
            if (count <= MaxNetworks)
            {
                break;
            }
        }
        int length = 0;
        foreach (ulong key in keys)
        {
            if (length == 0 || keys[length - 1] != key >> shift)
            {
                keys[length++] = key >> shift;
            }
        }
        return keys[..length];
    }

    /// <summary>A binary search that returns when it finds; the leaps are where it does not.</summary>
    private void Search(ReadOnlySpan<ulong> networks)
    {
        if (networks.Length > LeafSize)
        {
            int middle = networks.Length / 2;
            _rules.Jump(Libc.BPF_JGE, (uint)networks[middle], then: 0, otherwise: 1);
            int upper = _rules.Ja();
            Search(networks[..middle]);
            _rules.Patch(upper);
            Search(networks[middle..]);
            return;
        }
        foreach (ulong network in networks)
        {
            _rules.Jump(Libc.BPF_JEQ, (uint)network, then: 0, otherwise: 1);
            _rules.Return(Whole);
        }
        _leaps.Add(_rules.Ja());
    }
}
