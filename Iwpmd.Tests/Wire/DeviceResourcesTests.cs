// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

/// <summary>
/// What a kernel 6.1 said of a host with one soft iWARP device, five listeners and an accepted connection; [120] stands
/// for so many zeros.
/// </summary>
public partial class DeviceResourcesTests
{
    private const string Index = "0800 0100 00000000", Name = "0900 0200 7369773000 000000";

    private static readonly byte[] s_device = Recorded(
        Index + Name
            + "0800 0300 01000000  0c00 0400 0000200000000000  0c00 0600 010000feff000000  0c00 0700 010000feff000000  "
            + "0500 0e00 04000000  0500 5400 00000000  0700 4300 69770000");

    private static readonly byte[] s_system = Recorded("0500 4200 01000000  0500 6000 00000000  0500 5d00 01000000");

    private static readonly byte[] s_counts = Recorded(Index + Name + """
        b000 0f00
          1800 1000  0700 1100 70640000      0c00 1200 0300000000000000
          1800 1000  0700 1100 63710000      0c00 1200 0200000000000000
          1800 1000  0700 1100 71700000      0c00 1200 0100000000000000
          1c00 1000  0a00 1100 636d5f6964000000  0c00 1200 0700000000000000
          1800 1000  0700 1100 6d720000      0c00 1200 0000000000000000
          1800 1000  0800 1100 63747800      0c00 1200 0300000000000000
          1800 1000  0800 1100 73727100      0c00 1200 0000000000000000
        """);

    private static readonly byte[] s_endpoints = Recorded(Index + Name + """
        f407 1e00
          3401 1f00  0800 0300 01000000  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0200 1b58 0a000001 [120]  8400 2200 0200 [126]  0800 3f00 00000000  0800 1c00 dc000000
          3401 1f00  0800 0300 01000000  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0200 1b59 0a000001 [120]  8400 2200 0200 [126]  0800 3f00 01000000  0800 1c00 dd000000
          3401 1f00  0800 0300 01000000  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0200 1b5a 0a000001 [120]  8400 2200 0200 [126]  0800 3f00 02000000  0800 1c00 de000000
          3401 1f00  0800 0300 01000000  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0a00 1b5b 00000000 fd000000000000000000000000000001 [104]
            8400 2200 0a00 [126]  0800 3f00 03000000  0800 1c00 f8000000
          3401 1f00  0800 0300 01000000  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0200 1b5d 0a000001 [120]  8400 2200 0200 [126]  0800 3f00 04000000  0800 1c00 f7000000
          a800 1f00  0800 2000 06010000  0500 1b00 08000000
            8400 2100 0200 1b5c [124]  0800 3f00 05000000  0800 1c00 f9000000
          4401 1f00  0800 0300 01000000  0800 1500 01000000  0500 1a00 02000000  0800 2000 06010000  0500 1b00 05000000
            8400 2100 0200 1b5d 0a000001 [120]  8400 2200 0200 ea1b 0a000002 [120]
            0800 3f00 06000000  0800 1c00 f7000000
        """);

    public static IEnumerable<byte[]> Payloads => [s_device, s_system, s_counts, s_endpoints];

    [Fact]
    public void The_questions_have_these_bytes()
    {
        byte[] buffer = Hex.Dirty(DeviceResources.RequestSize);

        Assert.Equal(
            "10000000 0114 0103 07000000 09000000".Replace(" ", ""),
            Hex.Text(buffer.AsSpan(0, DeviceResources.AskDevices(buffer, 7, 9))));
        Assert.Equal(
            "10000000 0914 0103 07000000 09000000".Replace(" ", ""),
            Hex.Text(buffer.AsSpan(0, DeviceResources.AskCounts(buffer, 7, 9))));
        Assert.Equal(
            "10000000 0614 0100 07000000 09000000".Replace(" ", ""),
            Hex.Text(buffer.AsSpan(0, DeviceResources.AskSystem(buffer, 7, 9))));
        Assert.Equal(
            "18000000 0b14 0103 07000000 09000000 08000100 03000000".Replace(" ", ""),
            Hex.Text(buffer.AsSpan(0, DeviceResources.AskEndpoints(buffer, 7, 9, device: 3))));
    }

    [Fact]
    public void A_device_has_its_index_and_kind()
    {
        Assert.True(DeviceResources.TryReadDevice(s_device, out uint device, out bool isIwarp));
        Assert.Equal((0u, true), (device, isIwarp));

        // a channel adapter
        Assert.True(DeviceResources.TryReadDevice(
            Hex.Bytes("0800 0100 02000000  0500 0e00 01000000"), out device, out isIwarp));
        Assert.Equal((2u, false), (device, isIwarp));
        Assert.True(DeviceResources.TryReadDevice(Hex.Bytes("0800 0100 03000000"), out device, out isIwarp));
        Assert.Equal((3u, false), (device, isIwarp)); // of no kind that is known

        Assert.False(DeviceResources.TryReadDevice(Hex.Bytes("0500 0e00 04000000"), out _, out _));
        Assert.False(DeviceResources.TryReadDevice(s_device.AsSpan(0, s_device.Length - 4), out _, out _));
    }

    [Fact]
    public void The_endpoints_of_a_device_are_counted_among_its_resources()
    {
        Assert.True(DeviceResources.TryReadCount(s_counts, out uint device, out ulong endpoints));
        Assert.Equal((0u, 7ul), (device, endpoints));

        Assert.False(DeviceResources.TryReadCount(s_device, out _, out _));
        // a name without its end
        Assert.False(DeviceResources.TryReadCount(
            Hex.Bytes(Index + "2000 0f00 1c00 1000 0900 1100 636d5f6964000000 0c00 1200 0700000000000000"), out _,
            out _));
    }

    [Fact]
    public void Namespaces_share_devices_unless_the_kernel_says_otherwise()
    {
        Assert.True(DeviceResources.IsShared(s_system));
        Assert.False(DeviceResources.IsShared(Hex.Bytes("0500 4200 00000000")));
        Assert.True(DeviceResources.IsShared([])); // before Linux 5.2
    }

    [Fact]
    public void Endpoints_are_read_with_their_local_address_and_whether_they_listen()
    {
        var found = new List<string>();
        var endpoints = new DeviceResources.EndpointReader(s_endpoints);
        while (endpoints.MoveNext())
        {
            found.Add($"{endpoints.Local} {(endpoints.IsListening ? "listens" : "other")}");
        }

        Assert.Equal(
            [
                "10.0.0.1:7000 listens", "10.0.0.1:7001 listens", "10.0.0.1:7002 listens", "[fd00::1]:7003 listens",
                "10.0.0.1:7005 listens", "0.0.0.0:7004 listens", "10.0.0.1:7005 other",
            ],
            found);
    }

    [Fact]
    public void A_count_of_another_resource_or_a_damaged_one_is_none()
    {
        const string Name = "0a00 1100 636d5f6964000000", Count = "0c00 1200 0700000000000000";

        Assert.True(TryCount(Name + Count));
        Assert.False(TryCount("0700 1100 71700000" + Count));
        Assert.False(TryCount(Count + Name)); // whose it is must be known
        Assert.False(TryCount(Name));
        Assert.False(TryCount(Name + "0800 1200 07000000"));
        Assert.False(DeviceResources.TryReadCount([.. Summary(Name + Count), .. Hex.Bytes("0300 0100")], out _, out _));

        static bool TryCount(string entry) => DeviceResources.TryReadCount(Summary(entry), out _, out _);
        static byte[] Summary(string entry)
        {
            byte[] bytes = Hex.Bytes(entry);
            return [.. Header(bytes.Length + 8, 0x0f), .. Header(bytes.Length + 4, 0x10), .. bytes];
        }
        static byte[] Header(int length, byte type) => [(byte)length, 0, type, 0];
    }

    [Fact]
    public void An_endpoint_has_nothing_of_the_one_before_it()
    {
        var endpoints = new DeviceResources.EndpointReader(Recorded("""
            9c00 1e00
              9000 1f00  0500 1b00 08000000  8400 2100 0200 1b58 0a000001 [120]
              0800 1f00  0400 6300
            """));

        Assert.True(endpoints.MoveNext());
        Assert.Equal(("10.0.0.1:7000", true), (endpoints.Local.ToString(), endpoints.IsListening));
        Assert.True(endpoints.MoveNext());
        Assert.Equal((default, false), (endpoints.Local, endpoints.IsListening));
        Assert.False(endpoints.MoveNext());
    }

    private static byte[] Recorded(string text) =>
        Hex.Bytes(ZerosPattern.Replace(
            text, match => new string('0', 2 * int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))));

    [GeneratedRegex(@"\[(\d+)\]")]
    private static partial Regex ZerosPattern { get; }
}
