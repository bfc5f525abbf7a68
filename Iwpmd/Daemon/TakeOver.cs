// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>The other side of <see cref="HandOver"/>: asks the running daemon for all that it holds. Until <see cref="Complete"/> that one can go on as if nothing had been.</summary>
internal sealed class TakeOver : IDisposable
{
    private readonly int _connection;

    private TakeOver(int connection, HandedOverFds fds) => (_connection, Fds) = (connection, fds);

    public HandedOverFds Fds { get; }

    /// <summary>Null when no daemon runs that could be asked.</summary>
    /// <exception cref="SetupException">One runs, and does not hand over.</exception>
    public static TakeOver? TryBegin(string directory)
    {
        string path = HandOver.PathIn(directory);
        Errno error = UnixMessageSocket.Connect(path, out int connection);
        if (error == Errno.NoSuchEntry || error == Errno.ConnectionRefused)
        {
            return null;
        }
        var result = new TakeOver(connection, new HandedOverFds());
        error = error != Errno.None ? error : PassedFds.Send(connection, [HandOver.Request], [], HandOver.Patience);
        string? problem = error != Errno.None ? error.ToString() : result.ReceiveAll();
        if (problem is null)
        {
            return result;
        }
        result.Dispose();
        throw BrokenOff(problem);
    }

    /// <summary>Everything is here and of use: from now on it is ours.</summary>
    /// <exception cref="SetupException">The running daemon changed its mind.</exception>
    public void Complete()
    {
        if (PassedFds.Send(_connection, [HandOver.Receipt], [], HandOver.Patience) != Errno.None || !HandOver.TryHear(_connection, HandOver.Go))
        {
            throw BrokenOff("the running daemon did not end");
        }
    }

    public static SetupException BrokenOff(string problem) =>
        new(ExitStatus.Failure, $"takeover: aborted: {problem}: the running daemon continues to serve");

    public void Dispose() => SocketFd.Close(_connection);

    private string? ReceiveAll()
    {
        Span<byte> text = stackalloc byte[8];
        Span<int> fds = stackalloc int[PassedFds.MaxFds];
        int received = 0;
        while (SocketFd.WaitReadable(_connection, HandOver.Patience))
        {
            Errno error = PassedFds.Receive(_connection, text, fds, out int length, out int count);
            if (error != Errno.None)
            {
                return error.ToString();
            }
            foreach (int fd in fds[..count])
            {
                Fds.Add(fd, KernelProtocol.NetlinkProtocol);
            }
            received += count;
            if (length == 0)
            {
                return "the running daemon refused: see its log";
            }
            if (text[0] == HandOver.End)
            {
                int sent = BitConverter.ToInt32(text[1..]);
                return received == sent ? null : $"{received} of {sent} descriptors received: raise the limit of open files (LimitNOFILE)";
            }
        }
        return "no answer";
    }
}
