// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>
/// What the commands that show the state have in common. <paramref name="Watch"/>: how often to look again.
/// </summary>
internal sealed record ViewOptions(string? ConfigPath, bool Json, TimeSpan? Watch, InetEndpoint? Address, ushort? Port);

/// <summary>One way to show a state. Each returns the exit status.</summary>
internal interface IView
{
    int Show(StateReading reading, TextOutput page);

    int Show(StateReading reading, Utf8JsonWriter json);
}

/// <summary>Reads the state and shows it, once or again and again.</summary>
internal static class View
{
    private const string ClearScreen = "\u001b[H\u001b[2J\u001b[3J";

    /// <exception cref="OutputException">Nobody can read it.</exception>
    public static int Execute(ViewOptions options, IView view)
    {
        string path = options.ConfigPath ?? Configuration.DefaultPath;
        LoadedConfiguration loaded = Configuration.Load(path, options.ConfigPath is not null);
        var reader = new StateReader(loaded.Configuration.StateDirectory);
        TextOutput page = TextOutput.OfStdout();
        using var stdout = new StandardOutput();
        int status = options.Json ? ShowJson(reader.Read(), view, stdout) : Show(reader.Read(), view, page);
        while (options.Watch is TimeSpan interval)
        {
            if (StandardOutput.AwaitClosing(interval))
            {
                throw new OutputException(Errno.EPIPE);
            }
            page.Text.Write(options.Json ? "" : page.HasColour ? ClearScreen : "\n");
            status = options.Json ? ShowJson(reader.Read(), view, stdout) : Show(reader.Read(), view, page);
        }
        return status;
    }

    /// <summary>Of a mapping or a host.</summary>
    public static bool Fits(ViewOptions options, in InetEndpoint endpoint) =>
        options.Address is not InetEndpoint address || address.SameAddress(endpoint);

    /// <summary>What stands before a table: why there is none, or that what it shows is not what is.</summary>
    public static bool TryBeginTable(
        StateReading reading, TextOutput page, [NotNullWhen(true)] out StateSnapshot? state)
    {
        state = reading.State;
        if (state is null)
        {
            Output.Complain(Health.Of(reading).Sentence);
            return false;
        }
        if (!reading.IsDaemonThere || reading.Condition == DaemonCondition.Hung)
        {
            page.Line(Health.Of(reading).Sentence, Colour.Red);
        }
        return true;
    }

    /// <summary>0 when a daemon is there; what one left that is gone is shown, but it is not so any more.</summary>
    public static int StatusOf(StateReading reading) => reading.Condition switch
    {
        DaemonCondition.Unreadable => ExitStatus.Failure,
        DaemonCondition.NotPermitted => ExitStatus.NotPermitted,
        _ => reading.IsDaemonThere ? ExitStatus.Ended : ExitStatus.NotRunning,
    };

    private static int Show(StateReading reading, IView view, TextOutput page)
    {
        int status = view.Show(reading, page);
        page.Text.Flush();
        return status;
    }

    /// <summary>One line a look.</summary>
    private static int ShowJson(StateReading reading, IView view, Stream stdout)
    {
        using var json = new Utf8JsonWriter(stdout);
        int status = view.Show(reading, json);
        json.Flush();
        stdout.WriteByte((byte)'\n');
        return status;
    }
}
