// SPDX-License-Identifier: MIT
using Xunit;
using Xunit.Abstractions;

namespace Iwpmd.Tests;

/// <summary>Whole lives of hosts and daemons; see simulator/README.md.</summary>
public class SimulatorTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("--seeds", "400")]
    public void No_history_of_these_seeds_has_a_violation(params string[] arguments)
    {
        var said = new StringWriter();
        int status = Simulation.Program.Run(arguments, said);
        output.WriteLine(said.ToString());
        Assert.True(status == 0, said.ToString());
    }

    [Fact]
    public void A_seed_is_always_the_same_history()
    {
        string[] histories = [Tell(), Tell()];
        Assert.Equal(histories[0], histories[1]);
        Assert.Contains("events, no violation", histories[0]);
        Assert.Contains("QUERY", histories[0]);
    }

    private static string Tell()
    {
        var said = new StringWriter();
        _ = Simulation.Program.Run(["--seed", "2"], said);
        return said.ToString();
    }
}
