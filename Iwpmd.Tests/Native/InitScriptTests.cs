// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>dist/iwpmd.init: what a host without systemd does with the daemon.</summary>
public sealed class InitScriptTests : IDisposable
{
    private const int Absent = 3;

    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();

    /// <summary>The script, with the executable under test; no module of this host is loaded.</summary>
    public InitScriptTests()
    {
        File.WriteAllText(
            _host["init"],
            File.ReadAllText(Repository.PathOf("dist/iwpmd.init")).Replace("/usr/sbin/iwpmd", Binaries.Ours));
        File.CreateSymbolicLink(_host["modprobe"], "/bin/true");
    }

    public void Dispose()
    {
        _kernel.Dispose();
        _host.Dispose();
    }

    private (int Status, string Errors) Run(string action)
    {
        using var script = DaemonProcess.Start(
            _host, _kernel, ["/bin/sh", _host["init"], action],
            ("PATH", $"{Path.GetDirectoryName(_host["modprobe"])}:/usr/bin:/bin"));
        return (script.ExpectExit(), script.Errors);
    }

    [Fact]
    public void It_starts_once_restarts_without_a_gap_and_stops()
    {
        Assert.Equal((Absent, ""), Run("status"));
        Assert.Equal((0, ""), Run("start"));
        _kernel.ExpectHandshake();
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
        Assert.Equal((0, ""), Run("status"));
        int first = _kernel.Socket.ProcessId;

        Assert.Equal((0, ""), Run("restart"));
        Assert.True(NativeCalls.AwaitExit(first, Timeouts.Exit));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        Assert.Equal((0, ""), Run("status"));

        Assert.Equal((0, ""), Run("stop"));
        Assert.Equal((Absent, ""), Run("status"));
        Assert.Equal((0, ""), Run("stop"));
    }

    [Fact]
    public void On_a_host_without_iWARP_it_says_so_and_does_not_fail()
    {
        _kernel.RemoveClients();

        (int status, string errors) = Run("start");

        Assert.Equal(0, status);
        Assert.StartsWith("iwpmd: kernel: iw_cm is not loaded", errors);
    }

    [Fact]
    public void A_start_that_fails_has_the_status_of_the_daemon()
    {
        _host.Run(() => File.WriteAllText("/run/iwpmd", "in the way"));
        using var other = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]);
        other.ExpectLog("daemon: ready");

        Assert.Equal(1, Run("start").Status);
    }

    [Fact]
    public void It_does_not_know_other_actions() => Assert.Equal(2, Run("condrestart").Status);
}
