// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using Iwpmd.Tests.Os;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A separate host for a daemon: network and mount namespaces with empty /run, /etc and /sys/module and a /dev
/// without a log. They belong to one thread: what is started or opened on it is inside, and all of it is gone with the
/// last of its processes and descriptors. Needs root.
/// </summary>
internal sealed class Host : IDisposable
{
    private readonly System.Collections.Concurrent.BlockingCollection<Action> _work = [];
    private readonly Thread _thread;
    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-host-").FullName;
    private int _threadId;

    public Host()
    {
        Assert.True(
            Environment.IsPrivilegedProcess,
            "The tests of the native binary make network and mount namespaces: run them as root.");
        _thread = new Thread(Work) { IsBackground = true, Name = "host" };
        _thread.Start();
        Run(Enter);
    }

    /// <summary>A folder outside of the namespaces, for this host's own files.</summary>
    public string this[string name] => Path.Combine(_folder, name);

    /// <summary>
    /// Two hosts on one cable: the first has 10.0.0.1 and fd00::1; the second 10.0.0.2 to 10.0.0.9 and fd00::2.
    /// </summary>
    public static (Host First, Host Second) Pair()
    {
        var first = new Host();
        var second = new Host();
        first.Ip($"link add eth0 type veth peer name eth0 netns {second._threadId}", "link set eth0 up");
        second.Ip(
            [
                "link set eth0 up", .. Enumerable.Range(2, 8).Select(n => $"addr add 10.0.0.{n}/24 dev eth0"),
                "addr add fd00::2/64 dev eth0 nodad",
            ]);
        first.Ip("addr add 10.0.0.1/24 dev eth0", "addr add fd00::1/64 dev eth0 nodad");
        return (first, second);
    }

    public void Run(Action action) => Run(() =>
    {
        action();
        return 0;
    });

    public T Run<T>(Func<T> function)
    {
        if (Thread.CurrentThread == _thread)
        {
            return function();
        }
        T result = default!;
        ExceptionDispatchInfo? failure = null;
        using var done = new ManualResetEventSlim();
        _work.Add(() =>
        {
            try
            {
                result = function();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
            done.Set();
        });
        done.Wait();
        failure?.Throw();
        return result;
    }

    /// <summary>Lines for iproute2's batch mode.</summary>
    public void Ip(params string[] lines) => Run(() =>
    {
        using Process ip = Tool.Start("ip", "iproute2", "-batch", "-");
        foreach (string line in lines)
        {
            ip.StandardInput.WriteLine(line);
        }
        ip.StandardInput.Close();
        string complaints = ip.StandardError.ReadToEnd();
        ip.WaitForExit();
        Assert.True(ip.ExitCode == 0, $"ip: {complaints}");
    });

    public void Write(string path, string text) => Run(() => File.WriteAllText(path, text));

    /// <summary>As a kernel with iw_cm shows it.</summary>
    public void ShowIwCm() => Run(() => Directory.CreateDirectory("/sys/module/iw_cm"));

    /// <summary>As the kernel shows an iWARP device; what else has a class is not shown any more.</summary>
    public void ShowDevice() => Run(() =>
    {
        Mount("tmpfs", "/sys/class", "tmpfs");
        Directory.CreateDirectory("/sys/class/infiniband/siw0");
        File.WriteAllText("/sys/class/infiniband/siw0/node_type", "4: RNIC\n");
    });

    /// <summary>A socket bound here, IPv4 or IPv6 by the address.</summary>
    public Socket Open(SocketType type, IPEndPoint address) => Run(() =>
    {
        var socket = new Socket(
            address.AddressFamily, type, type == SocketType.Stream ? ProtocolType.Tcp : ProtocolType.Udp);
        if (address.AddressFamily == AddressFamily.InterNetworkV6)
        {
            socket.DualMode = false;
        }
        try
        {
            socket.Bind(address);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    });

    /// <summary>Whether another program could have this TCP port now.</summary>
    public bool IsTcpPortFree(int port, AddressFamily family = AddressFamily.InterNetwork)
    {
        try
        {
            Open(
                SocketType.Stream,
                new IPEndPoint(
                    family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, port)).Dispose();
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            return false;
        }
    }

    public void Dispose()
    {
        _work.CompleteAdding();
        _thread.Join();
        Directory.Delete(_folder, recursive: true);
    }

    private void Work()
    {
        foreach (Action action in _work.GetConsumingEnumerable())
        {
            action();
        }
    }

    private void Enter()
    {
        _threadId = NativeCalls.ThreadId();
        NativeCalls.Succeed(TestLibc.unshare(TestLibc.CLONE_NEWNET | TestLibc.CLONE_NEWNS), "unshare");
        NativeCalls.Succeed(TestLibc.mount("", "/", null, TestLibc.MS_REC | TestLibc.MS_PRIVATE, null), "mount /");
        string dev = Directory.CreateDirectory(this["dev"]).FullName;
        Mount("tmpfs", dev, "tmpfs");
        foreach (string node in (string[])["null", "zero", "full", "random", "urandom"])
        {
            File.WriteAllText(Path.Combine(dev, node), "");
            Mount($"/dev/{node}", Path.Combine(dev, node), null, NativeCalls.MS_BIND);
        }
        Mount(dev, "/dev", null, NativeCalls.MS_BIND | TestLibc.MS_REC);
        foreach (string empty in (string[])["/run", "/etc", "/sys/module"])
        {
            Mount("tmpfs", empty, "tmpfs");
        }
        Ip("link set lo up");
    }

    private static void Mount(string source, string target, string? type, nuint flags = 0) =>
        NativeCalls.Succeed(TestLibc.mount(source, target, type, flags, null), $"mount {target}");
}
