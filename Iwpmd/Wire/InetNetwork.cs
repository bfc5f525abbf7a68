using System.Globalization;
using System.Net;

namespace Iwpmd.Wire;

/// <summary>A network of IP addresses: 10.0.0.0/8, fd00::/64, or a single address.</summary>
internal readonly record struct InetNetwork(IpFamily Family, ulong High, ulong Low, ulong HighMask, ulong LowMask)
{
    public bool Contains(in InetEndpoint address) => address.Family == Family && (address.High & HighMask) == High && (address.Low & LowMask) == Low;

    public static bool TryParse(string text, out InetNetwork network)
    {
        network = default;
        string[] parts = text.Split('/');
        if (parts.Length > 2 || !IPAddress.TryParse(parts[0], out IPAddress? address) || address.ToString().Contains('%'))
        {
            return false;
        }
        InetEndpoint first = InetEndpoint.FromAddressBytes(address.GetAddressBytes(), 0);
        int bits = first.Family == IpFamily.V4 ? 32 : 128, length = bits;
        if (parts.Length == 2 && (!int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out length) || length > bits))
        {
            return false;
        }
        UInt128 mask = length == 0 ? 0 : UInt128.MaxValue << (bits - length);
        (ulong highMask, ulong lowMask) = bits == 32 ? (0, (ulong)mask & uint.MaxValue) : ((ulong)(mask >> 64), (ulong)mask);
        network = new InetNetwork(first.Family, first.High & highMask, first.Low & lowMask, highMask, lowMask);
        return true;
    }
}
