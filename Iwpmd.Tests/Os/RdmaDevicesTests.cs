// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class RdmaDevicesTests : IDisposable
{
    private readonly TemporaryDirectory _root = new();

    public void Dispose() => _root.Dispose();

    private void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_root[path])!);
        File.WriteAllText(_root[path], text);
    }

    [Fact]
    public void Every_iWARP_device_is_found_with_driver_interface_and_addresses()
    {
        Write("sys/class/infiniband/irdma0/node_type", "4: RNIC\n");
        Directory.CreateDirectory(_root["sys/class/infiniband/irdma0/device/net/lo"]);
        Directory.CreateDirectory(_root["sys/bus/pci/drivers/irdma"]);
        File.CreateSymbolicLink(_root["sys/class/infiniband/irdma0/device/driver"], _root["sys/bus/pci/drivers/irdma"]);
        Write("sys/class/infiniband/cxgb4_0/node_type", "4: RNIC\n");
        Write("sys/class/infiniband/cxgb4_0/ports/1/gid_attrs/ndevs/0", "enp1s0\n");
        Write("sys/class/infiniband/siw0/node_type", "4: RNIC\n");
        Write("sys/class/infiniband/siw0/node_desc", "Software iWARP stack\n");
        Write("sys/class/infiniband/siw0/ports/1/gids/0", "5254:0012:34ab:0000:0000:0000:0000:0000\n");
        Write("sys/class/net/eth0/address", "52:54:00:12:34:ab\n");
        Write("sys/class/net/eth1/address", "52:54:00:12:34:ac\n");
        Write("sys/class/infiniband/mlx5_0/node_type", "1: CA\n");
        RdmaDevice[] devices = RdmaDevices.Read(_root.Path);
        Assert.Equal(
            ["cxgb4_0  enp1s0", "irdma0 irdma lo", "siw0 siw eth0"],
            devices.Select(device => $"{device.Name} {device.Driver} {device.Interface}"));
        Assert.Contains("127.0.0.1", devices[1].Addresses.Select(address => address.AddressText())); // of the real host
    }

    [Fact]
    public void Without_RDMA_there_is_none() => Assert.Empty(RdmaDevices.Read(_root.Path));
}
