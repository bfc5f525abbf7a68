// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>
/// The other side of <see cref="HandOver"/>: requests the resources of the running daemon. Until <see cref="Complete"/>
/// that one can continue unchanged.
/// </summary>
internal sealed class TakeOver : IDisposable
{
    private readonly int _connection;

    private TakeOver(int connection, HandedOverFds fds) => (_connection, Fds) = (connection, fds);

    public HandedOverFds Fds { get; }

    /// <summary>Null when no daemon runs.</summary>
    /// <exception cref="SetupException">One runs, and does not hand over.</exception>
    public static TakeOver? TryBegin(string directory)
    {
        string path = HandOver.PathIn(directory);
        Errno error = UnixMessageSocket.Connect(path, out int connection);
        if (error is Errno.ENOENT or Errno.ECONNREFUSED)
        {
            return null;
        }
        var result = new TakeOver(connection, new HandedOverFds());
        error = error != Errno.None ? error : PassedFds.Send(connection, [HandOver.Request], [], HandOver.Timeout);
        string? problem = error == Errno.EACCES ? $"{error.Text()}: run this as root"
            : error != Errno.None ? error.Text()
            : result.ReceiveAll();
        if (problem is null)
        {
            return result;
        }
        result.Dispose();
        throw Aborted(problem);
    }

    /// <summary>All resources were received and are usable: from now on this process owns them.</summary>
    /// <exception cref="SetupException">The running daemon did not end.</exception>
    public void Complete()
    {
        if (PassedFds.Send(_connection, [HandOver.Receipt], [], HandOver.Timeout) != Errno.None
            || !HandOver.TryHear(_connection, HandOver.Go))
        {
            throw Aborted("the running daemon did not end");
        }
    }

    public static SetupException Aborted(string problem) =>
        new(ExitStatus.Failure, $"takeover: aborted: {problem}: the running daemon continues to serve");

    public void Dispose() => SocketFd.Close(_connection);

    private string? ReceiveAll()
    {
        Span<byte> text = stackalloc byte[8];
        Span<int> fds = stackalloc int[PassedFds.MaxFds];
        int received = 0;
        while (SocketFd.WaitReadable(_connection, HandOver.Timeout))
        {
            Errno error = PassedFds.Receive(_connection, text, fds, out int length, out int count);
            if (error != Errno.None)
            {
                return error.Text();
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
                return received == sent
                    ? null
                    : $"{received} of {sent} descriptors received: raise the limit of open files (LimitNOFILE)";
            }
        }
        return "no answer";
    }
}
