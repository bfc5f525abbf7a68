// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class HostSettingsTests : IDisposable
{
    private const string Reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports",
        Range = "/proc/sys/net/ipv4/ip_local_port_range";

    private readonly TemporaryDirectory _root = new();
    private readonly HostSettings _settings;

    public HostSettingsTests() => _settings = new HostSettings(_root.Path);

    public void Dispose() => _root.Dispose();

    [Theory]
    [InlineData("1024\t65535\n", true, 1024, 65535)]
    [InlineData("40000 40000", true, 40000, 40000)]
    [InlineData("40000\t39999\n", false, 32768, 60999)]
    [InlineData("40000\t70000\n", false, 32768, 60999)]
    [InlineData("40000", false, 32768, 60999)]
    [InlineData("", false, 32768, 60999)]
    [InlineData(null, false, 32768, 60999)]
    public void The_port_range_is_the_host_s_or_the_kernel_s_default(string? text, bool known, int low, int high)
    {
        Write(Range, text);
        Assert.Equal(known, _settings.TryReadPortRange(out PortRange range));
        Assert.Equal(new PortRange((ushort)low, (ushort)high), range);
    }

    [Theory]
    [InlineData("\n", "")]
    [InlineData("3935\n", "3935-3935")]
    [InlineData("1,5-10,50000-50010\n", "1-1 5-10 50000-50010")]
    [InlineData("1,x\n", null)]
    [InlineData("5-\n", null)]
    [InlineData(null, null)]
    public void Reserved_ports_are_a_list_of_ports_and_ranges(string? text, string? ranges)
    {
        Write(Reserved, text);
        Assert.Equal(ranges is not null, _settings.TryReadReservedPorts(out PortRange[] reserved));
        Assert.Equal(ranges ?? "", string.Join(' ', reserved.Select(r => $"{r.Low}-{r.High}")));
    }

    [Fact]
    public void A_range_contains_both_its_ends()
    {
        var range = new PortRange(5, 10);
        Assert.Equal([5, 10], Enumerable.Range(0, 20).Where(range.Contains).Where(p => p is < 6 or > 9));
    }

    [Fact]
    public void The_boot_id_is_the_kernel_s()
    {
        Assert.True(new HostSettings().TryReadBootId(out Guid bootId));
        Assert.Equal(File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim(), bootId.ToString());
        Assert.False(_settings.TryReadBootId(out _));
    }

    [Fact]
    public void The_module_shows_in_sys()
    {
        Assert.False(_settings.HasIwCm);
        Directory.CreateDirectory(_root["sys/module/iw_cm"]);
        Assert.True(_settings.HasIwCm);
    }

    [Fact]
    public void The_settings_of_iw_cm_show_only_where_it_works()
    {
        Directory.CreateDirectory(_root["sys/module/iw_cm"]);
        Assert.False(_settings.HasIwCmInThisNamespace);
        Directory.CreateDirectory(_root["proc/sys/net/iw_cm"]);
        Assert.True(_settings.HasIwCmInThisNamespace);
        Directory.Delete(_root["sys/module/iw_cm"]); // built in, it may have no entry there
        Assert.True(_settings.HasIwCm);
    }

    [Fact]
    public void This_host_s_own_settings_can_be_read()
    {
        var host = new HostSettings();
        Assert.True(host.TryReadPortRange(out PortRange range));
        Assert.Equal(File.ReadAllText(Range).Split().Where(w => w.Length > 0), [$"{range.Low}", $"{range.High}"]);
        Assert.True(host.TryReadReservedPorts(out _));
    }

    private void Write(string path, string? text)
    {
        if (text is not null)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_root.Path + path)!);
            File.WriteAllText(_root.Path + path, text);
        }
    }
}
