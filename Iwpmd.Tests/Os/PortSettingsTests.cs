// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class PortSettingsTests : IDisposable
{
    private readonly TemporaryDirectory _root = new();

    public PortSettingsTests()
    {
        Directory.CreateDirectory(_root["proc/sys/net/ipv4"]);
        Write("32768\t60999\n", "\n");
    }

    public void Dispose() => _root.Dispose();

    private void Write(string range, string reserved)
    {
        File.WriteAllText(_root.Path + HostSettings.PortRangePath, range);
        File.WriteAllText(_root.Path + HostSettings.ReservedPortsPath, reserved);
    }

    [Fact]
    public void A_change_shows_at_the_next_look_and_only_then()
    {
        var settings = new PortSettings(_root.Path);
        Assert.Equal((new PortRange(32768, 60999), 0), (settings.Range, settings.Reserved.Length));
        Assert.False(settings.HasChanged());
        Write("40000\t50000\n", "\n");
        Assert.True(settings.HasChanged());
        Assert.Equal(new PortRange(40000, 50000), settings.Range);
        Write("40000\t50000\n", "40001,41000-41999\n");
        Assert.True(settings.HasChanged());
        Assert.Equal([new PortRange(40001, 40001), new PortRange(41000, 41999)], settings.Reserved);
        Assert.False(settings.HasChanged());
    }

    [Fact]
    public void A_long_list_is_read_whole()
    {
        string list = string.Join(',', Enumerable.Range(0, 32768).Select(i => (2 * i) + 1));
        var settings = new PortSettings(_root.Path);
        Write("32768\t60999\n", list + "\n");
        Assert.True(settings.HasChanged());
        Assert.Equal(32768, settings.Reserved.Length);
        Assert.False(settings.HasChanged());
        Assert.True(new HostSettings(_root.Path).TryReadReservedPorts(out PortRange[] reserved));
        Assert.Equal(32768, reserved.Length);
    }

    [Fact]
    public void What_cannot_be_understood_or_read_changes_nothing()
    {
        var settings = new PortSettings(_root.Path);
        Write("50000\t40000\n", "x\n");
        Assert.False(settings.HasChanged());
        Assert.Equal(new PortRange(32768, 60999), settings.Range);
        var blind = new PortSettings(_root["nowhere"]);
        Assert.False(blind.HasChanged());
        Assert.Equal((HostSettings.DefaultPortRange, 0), (blind.Range, blind.Reserved.Length));
    }

    [Fact]
    public void A_look_at_what_is_the_same_allocates_nothing()
    {
        var settings = new PortSettings(_root.Path);
        settings.HasChanged();
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool changed = settings.HasChanged() || settings.HasChanged();
        Assert.Equal((false, 0L), (changed, GC.GetAllocatedBytesForCurrentThread() - before));
    }
}
