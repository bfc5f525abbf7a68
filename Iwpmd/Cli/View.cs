using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>What the commands that show the state have in common. <paramref name="Watch"/>: how often to look again.</summary>
internal sealed record ViewOptions(string? ConfigPath, bool Json, TimeSpan? Watch, InetEndpoint? Address, int? Port);

/// <summary>One way to show a state. Each returns the exit status.</summary>
internal interface IView
{
    int Show(StateReading reading, Page page);

    int Show(StateReading reading, Utf8JsonWriter json);
}

/// <summary>Reads the state and shows it, once or again and again.</summary>
internal static class View
{
    private const string ClearScreen = "\u001b[H\u001b[2J\u001b[3J";

    public static int Execute(ViewOptions options, IView view)
    {
        try
        {
            var reader = new StateReader(Configuration.Load(options.ConfigPath ?? Configuration.DefaultPath, options.ConfigPath is not null).Configuration.StateDirectory);
            Page page = Page.OfStdout();
            Stream stdout = Console.OpenStandardOutput();
            int status = options.Json ? ShowJson(reader, view, stdout) : Show(reader, view, page);
            while (options.Watch is TimeSpan interval)
            {
                Thread.Sleep(interval);
                page.Text.Write(options.Json ? "" : page.HasColour ? ClearScreen : "\n");
                status = options.Json ? ShowJson(reader, view, stdout) : Show(reader, view, page);
            }
            return status;
        }
        catch (SetupException e)
        {
            Console.Error.WriteLine($"iwpmd: {e.Message}");
            return e.ExitStatus;
        }
        catch (IOException e)
        {
            Console.Error.WriteLine($"iwpmd: stdout: {e.Message}");
            return ExitStatus.Failure;
        }
    }

    /// <summary>Of a mapping or a host.</summary>
    public static bool Fits(ViewOptions options, in InetEndpoint endpoint) => options.Address is not InetEndpoint address || address.SameAddress(endpoint);

    /// <summary>What stands before a table: why there is none, or that what it shows is not what is.</summary>
    public static bool TryBeginTable(StateReading reading, Page page, [NotNullWhen(true)] out StateCopy? state)
    {
        state = reading.State;
        if (state is null)
        {
            Console.Error.WriteLine($"iwpmd: {reading.Problem}");
            return false;
        }
        if (!reading.IsDaemonThere || reading.Condition == DaemonCondition.Hung)
        {
            page.Line(page.Paint(Health.Of(reading, default).Sentence, Colour.Red));
        }
        return true;
    }

    /// <summary>0 when there was something to show.</summary>
    public static int StatusOf(StateReading reading) =>
        reading.State is not null ? ExitStatus.Ended : reading.Condition == DaemonCondition.Unreadable ? ExitStatus.Failure : ExitStatus.NotRunning;

    private static int Show(StateReader reader, IView view, Page page)
    {
        int status = view.Show(reader.Read(), page);
        page.Text.Flush();
        return status;
    }

    /// <summary>One line a look.</summary>
    private static int ShowJson(StateReader reader, IView view, Stream stdout)
    {
        using var json = new Utf8JsonWriter(stdout);
        int status = view.Show(reader.Read(), json);
        json.Flush();
        stdout.WriteByte((byte)'\n');
        return status;
    }
}
