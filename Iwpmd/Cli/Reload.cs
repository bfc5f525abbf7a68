// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>
/// <c>iwpmd reload</c>: hands the configuration to the daemon that runs, and says what that one made of it.
/// </summary>
internal static class Reload
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    /// <summary>0 when it is in force, 1 when not, 3 when there is no daemon.</summary>
    public static int Execute(string? configPath)
    {
        string path = Path.GetFullPath(configPath ?? Configuration.DefaultPath);
        int connection = -1;
        try
        {
            string text = Configuration.ReadText(path, isRequired: configPath is not null);
            string socket = HandOver.PathIn(ConfigurationParser.Parse(text.Split('\n')).Configuration.StateDirectory);
            Errno error = UnixMessageSocket.Connect(socket, out connection);
            if (error is Errno.ENOENT or Errno.ECONNREFUSED)
            {
                return ReportAbsent(socket);
            }
            if (error == Errno.None)
            {
                error = PassedFds.Send(
                    connection, [HandOver.Reload, .. Encoding.UTF8.GetBytes($"{path}\0{text}")], [], AnswerTimeout);
            }
            if (error != Errno.None)
            {
                bool isForRoot = error == Errno.EACCES;
                Output.Complain($"{socket}: {error.Text()}{(isForRoot ? $": {Finding.AsRoot}" : "")}");
                return isForRoot ? ExitStatus.NotPermitted : ExitStatus.Failure;
            }
            return Report(connection);
        }
        finally
        {
            if (connection >= 0)
            {
                SocketFd.Close(connection);
            }
        }
    }

    private static int ReportAbsent(string socket)
    {
        var owner = PortOwner.Find();
        if (owner is { IsBound: true, IsPortMapper: true })
        {
            Output.Complain(
                $"process {owner.ProcessId} (iwpmd) runs, and does not listen at {socket}: it is rdma-core's, or was "
                    + "started with another state_dir: restart it");
            return ExitStatus.Failure;
        }
        Output.Complain($"no daemon listens at {socket}: start it");
        return ExitStatus.NotRunning;
    }

    private static int Report(int connection)
    {
        byte[] answer = new byte[HandOver.MaxText];
        bool isHeard = SocketFd.WaitReadable(connection, AnswerTimeout)
            && PassedFds.Receive(connection, answer, [], out int length, out _) == Errno.None && length > 0;
        if (!isHeard)
        {
            Output.Complain(
                "the daemon gives no answer: it is an earlier version, or refuses (see its log): restart it");
            return ExitStatus.Failure;
        }
        Output.Repeat(Encoding.UTF8.GetString(answer).TrimEnd('\0')[1..]);
        return answer[0] == HandOver.Accepted ? ExitStatus.Ended : ExitStatus.Failure;
    }
}
