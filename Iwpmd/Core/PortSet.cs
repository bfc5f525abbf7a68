// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>Some TCP ports, as ranges with both ends included.</summary>
internal sealed record PortSet((ushort Low, ushort High)[] Ranges)
{
    public static PortSet None { get; } = new([]);

    public bool Contains(int port)
    {
        foreach ((ushort low, ushort high) in Ranges)
        {
            if (port >= low && port <= high)
            {
                return true;
            }
        }
        return false;
    }
}
