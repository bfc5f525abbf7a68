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

/// <summary>What stands in scripts of its own: a quarter of the lab's matrix, on a real kernel, with each pair of daemons and each build of soft iWARP (`make lab` runs all of it), and the packages.</summary>
[Collection(LabCollection.Name)]
public class ScriptTests(ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(25);

    [Fact]
    public Task The_short_matrix_passes() => Passes("lab/run", "--quarter");

    [Fact]
    public Task A_restart_and_a_crash_under_systemd_lose_nothing() => Passes("lab/run", "--lasting --quarter");

    [Fact]
    public Task The_deb_installs_beside_rdma_core_and_goes_without_a_trace() => Passes("deb/test");

    [Fact]
    public Task The_rpm_installs_and_goes_without_a_trace() => Passes("rpm/test");

    private async Task Passes(string script, string arguments = "")
    {
        using var run = Process.Start(new ProcessStartInfo(Repository.PathOf(script), arguments) { WorkingDirectory = Repository.Root, RedirectStandardOutput = true, RedirectStandardError = true })!;
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
