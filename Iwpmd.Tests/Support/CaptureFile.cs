// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A file in the format of libpcap, as tcpdump writes it, a frame a millisecond unless said otherwise.
/// </summary>
internal sealed class CaptureFile
{
    private const uint RawIp = 101, Netlink = 253;
    private readonly List<byte> _bytes = [];
    private TimeSpan _time;

    private CaptureFile(uint link) => Append(0xa1b2c3d4, 0x00040002, 0, 0, 65535, link);

    /// <summary>What a cable carries, from the IP header on.</summary>
    public static CaptureFile OfPackets() => new(RawIp);

    /// <summary>What an nlmon device sees.</summary>
    public static CaptureFile OfNetlink() => new(Netlink);

    /// <summary>One UDP datagram to port 3935 or from there.</summary>
    public CaptureFile Datagram(byte[] bytes, InetEndpoint from, InetEndpoint to)
    {
        int length = 8 + bytes.Length;
        byte[] udp = [.. Short(from.Port), .. Short(to.Port), .. Short((ushort)length), .. Short(0), .. bytes];
        byte[] source = new byte[16], target = new byte[16];
        from.WriteAddress(source);
        to.WriteAddress(target);
        byte[] ip = from.Family == IpFamily.V4
            ? [0x45, 0, .. Short((ushort)(20 + length)), 0, 0, 0, 0, 64, 17, 0, 0, .. source[..4], .. target[..4]]
            : [0x60, 0, 0, 0, .. Short((ushort)length), 17, 64, .. source, .. target];
        return Frame([.. ip, .. udp], ip.Length + length);
    }

    /// <summary>One netlink datagram of the RDMA family.</summary>
    public CaptureFile Message(params byte[] bytes) =>
        Frame([0, 6, 3, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, .. bytes], 16 + bytes.Length);

    /// <summary>How long after the one before the next frame comes.</summary>
    public CaptureFile Later(TimeSpan pause)
    {
        _time += pause;
        return this;
    }

    /// <summary>Of the last frame only so many bytes of the message were captured.</summary>
    public CaptureFile Cut(int missing)
    {
        int at = _lastAt + 8;
        BinaryPrimitives.WriteInt32LittleEndian(
            System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_bytes)[at..],
            _bytes.Count - _lastAt - 16 - missing);
        _bytes.RemoveRange(_bytes.Count - missing, missing);
        return this;
    }

    public string Write(string path)
    {
        File.WriteAllBytes(path, [.. _bytes]);
        return path;
    }

    private int _lastAt;

    private CaptureFile Frame(byte[] bytes, int length)
    {
        _lastAt = _bytes.Count;
        Append(
            1700000000 + (uint)(_time.Ticks / TimeSpan.TicksPerSecond),
            (uint)(_time.Ticks % TimeSpan.TicksPerSecond / 10), (uint)bytes.Length, (uint)length);
        _bytes.AddRange(bytes);
        _time += TimeSpan.FromMilliseconds(1);
        return this;
    }

    private void Append(params uint[] numbers) => _bytes.AddRange(numbers.SelectMany(BitConverter.GetBytes));

    private static byte[] Short(ushort number) => [(byte)(number >> 8), (byte)number];
}
