// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A service manager as far as the daemon knows one: takes its notifications, keeps the descriptors that it stores, by
/// name, and passes them to the next start (passfds.c). What is stored survives the process, however that ends.
/// </summary>
internal sealed class ServiceManager : IDisposable
{
    private static readonly Lazy<string> s_passFds = new(() => Binaries.Compile("Iwpmd.Tests/Support/passfds.c"));

    private readonly Host _host;
    private readonly string _path, _passPath;
    private readonly int _socket;
    private readonly List<(string Name, int Fd)> _stored = [];
    private readonly List<string> _texts = [];
    private readonly object _lock = new();
    private readonly Thread _thread;
    private volatile bool _ended;

    public ServiceManager(Host host)
    {
        _host = host;
        (_path, _passPath) = (host["notify"], host["pass"]);
        Assert.Equal(Errno.None, SocketFd.Open(Libc.AF_UNIX, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0, out _socket));
        byte[] address = new byte[Libc.sizeof_sockaddr_un];
        Assert.Equal(Errno.None, SocketFd.Bind(_socket, address.AsSpan(0, UnixAddress.Write(address, _path))));
        _thread = new Thread(Serve) { IsBackground = true, Name = "manager" };
        _thread.Start();
    }

    /// <summary>These names, in order, are those of what is stored, once it has read what it was told.</summary>
    public void ExpectStored(params string[] names)
    {
        string[] stored = [];
        _ = SpinWait.SpinUntil(() => (stored = ReadStored()).SequenceEqual(names), Timeouts.Answer);
        Assert.Equal(names, stored);
    }

    public string[] Texts
    {
        get
        {
            lock (_lock)
            {
                return [.. _texts];
            }
        }
    }

    /// <summary>Starts the daemon with all that is stored; what is stored stays so.</summary>
    public DaemonProcess Start(SimulatedKernel kernel, params string[] options)
    {
        Assert.Equal(Errno.None, UnixMessageSocket.Listen(_passPath, Limits.UserId, out int listening));
        DaemonProcess daemon = DaemonProcess.Start(
            _host, kernel, [s_passFds.Value, _passPath, Binaries.Ours, "-s", "-l", "debug", .. options],
            ("NOTIFY_SOCKET", _path));
        Assert.True(SocketFd.WaitReadable(listening, Timeouts.Answer), "passfds does not come");
        Assert.Equal(Errno.None, UnixMessageSocket.Accept(listening, 1 << 20, out int connection, out _));
        lock (_lock)
        {
            foreach ((_, int fd) in _stored)
            {
                Assert.Equal(Errno.None, PassedFds.Send(connection, [1], [fd], Timeouts.Answer));
            }
        }
        SocketFd.Close(connection);
        SocketFd.Close(listening);
        return daemon;
    }

    /// <summary>Something that another program of the unit stored.</summary>
    public void Keep(string name, Microsoft.Win32.SafeHandles.SafeFileHandle handle)
    {
        lock (_lock)
        {
            _stored.Add((name, (int)handle.DangerousGetHandle()));
            handle.SetHandleAsInvalid();
        }
    }

    public void Dispose()
    {
        _ended = true;
        _thread.Join();
        _stored.ForEach(s => SocketFd.Close(s.Fd));
        SocketFd.Close(_socket);
    }

    private string[] ReadStored()
    {
        lock (_lock)
        {
            return [.. _stored.Select(s => s.Name).Order()];
        }
    }

    private void Serve()
    {
        byte[] buffer = new byte[4096];
        int[] fds = new int[PassedFds.MaxFds];
        while (!_ended)
        {
            if (SocketFd.WaitReadable(_socket, TimeSpan.FromMilliseconds(20))
                && PassedFds.Receive(_socket, buffer, fds, out int length, out int count) == Errno.None)
            {
                Take(Encoding.UTF8.GetString(buffer, 0, length), fds[..count]);
            }
        }
    }

    private void Take(string text, int[] fds)
    {
        string name = Array.Find(
            text.Split('\n'), line => line.StartsWith("FDNAME=", StringComparison.Ordinal))?[7..] ?? "";
        lock (_lock)
        {
            _texts.Add(text);
            if (text.Contains("FDSTOREREMOVE=1", StringComparison.Ordinal))
            {
                _stored.Where(s => s.Name == name).ToList().ForEach(s => SocketFd.Close(s.Fd));
                _stored.RemoveAll(s => s.Name == name);
            }
            else if (text.Contains("FDSTORE=1", StringComparison.Ordinal))
            {
                // A bound socket that does not listen polls as hung up: a manager that polls would drop it.
                Assert.Contains("FDPOLL=0", text);
                _stored.AddRange(fds.Select(fd => (name, fd)));
                return;
            }
        }
        Array.ForEach(fds, SocketFd.Close); // of BARRIER=1: the sender waits for this
    }
}
