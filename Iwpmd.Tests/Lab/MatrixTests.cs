using System.Diagnostics;
using Iwpmd.Tests.Support;
using Xunit;
using Xunit.Abstractions;

namespace Iwpmd.Tests.Lab;

/// <summary>Emulated hosts take both processors: after everything else, and nothing beside it.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class LabCollection
{
    public const string Name = "Lab";
}

/// <summary>A quarter of the lab's matrix, on a real kernel: each pair of daemons, and each build of soft iWARP. `make lab` runs all of it.</summary>
[Collection(LabCollection.Name)]
public class MatrixTests(ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(25);

    [Fact]
    public async Task The_short_matrix_passes()
    {
        using var run = Process.Start(new ProcessStartInfo(Repository.PathOf("lab/run"), "--quarter") { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> lines = run.StandardOutput.ReadToEndAsync(), errors = run.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(s_patience);
        try
        {
            await run.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            run.Kill(entireProcessTree: true);
        }
        string text = await lines + await errors;
        output.WriteLine(text);
        Assert.True(run.HasExited && run.ExitCode == 0, text);
    }
}
