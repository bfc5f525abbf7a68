using Iwpmd.Daemon;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd --check-config</c>: every complaint with its line.</summary>
internal static class CheckConfig
{
    public static int Execute(string? path)
    {
        var complaints = new List<string>();
        string file = path ?? Configuration.DefaultPath;
        try
        {
            Configuration.Load(file, isRequired: path is not null, complaints);
        }
        catch (SetupException e)
        {
            Console.Error.WriteLine($"iwpmd: {e.Message}");
            return e.ExitStatus;
        }
        foreach (string complaint in complaints)
        {
            Console.WriteLine($"{file}:{complaint}");
        }
        return complaints.Count == 0 ? ExitStatus.Ended : ExitStatus.Failure;
    }
}
