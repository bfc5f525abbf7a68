// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Numerics;

namespace Iwpmd.Wire;

/// <summary>A network of IP addresses: 10.0.0.0/8, fd00::/64, or a single address.</summary>
internal readonly record struct InetNetwork(IpFamily Family, ulong High, ulong Low, ulong HighMask, ulong LowMask)
{
    public bool Contains(in InetEndpoint address) =>
        address.Family == Family && (address.High & HighMask) == High && (address.Low & LowMask) == Low;

    /// <summary>True when every address of the other one is in this one.</summary>
    public bool Contains(in InetNetwork other) =>
        other.Family == Family && (other.HighMask & HighMask) == HighMask && (other.LowMask & LowMask) == LowMask
        && (other.High & HighMask) == High && (other.Low & LowMask) == Low;

    /// <summary>
    /// Strict, since this says who may ask: the first address of the network, a length without a leading zero. Not the
    /// IPv4 addresses in IPv6 form, which no packet comes from. Of an address with bits behind the length it gives the
    /// network that this is in, and false.
    /// </summary>
    public static bool TryParse(string text, out InetNetwork network)
    {
        network = default;
        string[] parts = text.Split('/');
        if (parts.Length > 2 || !InetEndpoint.TryParseAddress(parts[0], out InetEndpoint first)
            || parts[0].Contains('%') || first.IsMapped)
        {
            return false;
        }
        int bits = first.Family == IpFamily.V4 ? 32 : 128, length = bits;
        if (parts.Length == 2
            && (
                !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out length) || length > bits
                || (parts[1][0] == '0' && parts[1].Length > 1)))
        {
            return false;
        }
        UInt128 mask = length == 0 ? 0 : UInt128.MaxValue << (bits - length);
        (ulong highMask, ulong lowMask) = bits == 32
            ? (0, (ulong)mask & uint.MaxValue)
            : ((ulong)(mask >> 64), (ulong)mask);
        network = new InetNetwork(first.Family, first.High & highMask, first.Low & lowMask, highMask, lowMask);
        return network.High == first.High && network.Low == first.Low;
    }

    public override string ToString()
    {
        int length = BitOperations.PopCount(HighMask) + BitOperations.PopCount(LowMask);
        return $"{new InetEndpoint(Family, High, Low, 0).AddressText()}/{length}";
    }
}
