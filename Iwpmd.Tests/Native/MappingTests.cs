using System.Net.Sockets;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>The published executable and what the kernel asks of it while it runs.</summary>
public class MappingTests
{
    [Fact]
    public void A_mapping_holds_its_port_from_ADD_to_REMOVE()
    {
        using Scene scene = new Scene().Ready();

        ushort port = scene.AddMapping("10.0.0.1:5000");
        Assert.NotEqual(5000, port);
        Assert.False(scene.IsFree(port));

        scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
        scene.Settle();
        Assert.True(scene.IsFree(port));
        scene.Daemon.Stop();
    }
}
