using Iwpmd.Cli;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Tests.Core;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>What status, mappings, peers and metrics print of a state. The goldens of the JSON are its documentation's proof: names are promises.</summary>
public class ViewTests
{
    [Fact]
    public Task Status_is_one_screen() => Golden.Verify(Stage.Text(new Status(), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Status_as_json() => Golden.Verify(Stage.Json(new Status(), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Mappings_as_a_table() => Golden.Verify(Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Mappings_as_json() => Golden.Verify(Stage.Json(new Mappings(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Peers_as_a_table() => Golden.Verify(Stage.Text(new Peers(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Peers_as_json() => Golden.Verify(Stage.Json(new Peers(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Metrics_of_everything()
    {
        var text = new StringWriter();
        Metrics.Write(Stage.Read(Stage.Busy()), new DateTime(2026, 11, 22, 12, 0, 0, DateTimeKind.Utc), text);
        return Golden.Verify(text.ToString());
    }

    /// <summary>One line for each way that things can be wrong.</summary>
    [Fact]
    public Task The_first_line_names_what_is_wrong()
    {
        var dead = Stage.Read(Stage.Busy(), DaemonCondition.Dead);
        World ended = Stage.Busy();
        ended.State.Header.EndedAt = ended.Now.Ticks - TimeSpan.FromMinutes(5).Ticks;
        World hung = Stage.Busy();
        hung.Now += TimeSpan.FromSeconds(11);
        World waiting = Stage.Busy();
        waiting.Mapper.Start(waiting.Now);
        World unprotected = Stage.Busy();
        using (var health = new RowChange<HealthRow>(ref unprotected.State.Health))
        {
            health.Row.Unprotected = 2;
            health.Row.HighestPort = 40003; // and all of them in use
        }
        World damaged = Stage.Busy();
        damaged.State.Mappings[0].References++;
        (StateReading Reading, PortOwner Owner)[] cases =
        [
            (Stage.Read(Stage.Busy()), default),
            (Stage.Read(new World()), default),
            (Stage.Read(hung, DaemonCondition.Hung), default),
            (Stage.Read(waiting, DaemonCondition.Starting), default),
            (Stage.Read(waiting), default),
            (Stage.Read(unprotected), default),
            (Stage.Read(damaged), default),
            (dead, default),
            (Stage.Read(ended, DaemonCondition.Ended), default),
            (dead, new PortOwner(true, 99, "iwpmd")),
            (dead, new PortOwner(true, 98, "socat")),
            (dead, new PortOwner(true, 0, "")),
            (Stage.Missing(DaemonCondition.Absent, "there is no /run/iwpmd/state"), default),
            (Stage.Missing(DaemonCondition.Unreadable, "/run/iwpmd/state: open: EACCES (permission denied): run this as root"), default),
            (Stage.Missing(DaemonCondition.Unreadable, "/run/iwpmd/state: its layout is version 2, this iwpmd has 1: restart the daemon, process 99", 99), default),
        ];
        IEnumerable<string> lines = cases.Select(one => Health.Of(one.Reading, one.Owner)).Select(health => $"{health.ExitStatus} {health.Name}: {health.Sentence}{string.Concat(health.Problems.Select(p => $"\n    {p}"))}");
        return Golden.Verify(string.Join('\n', lines));
    }

    [Theory]
    [InlineData("10.0.0.1", null, 5)]
    [InlineData("fd00::1", null, 1)]
    [InlineData(null, 5000, 2)]
    [InlineData(null, 40000, 1)] // a mapped one
    [InlineData("10.0.0.1", 5001, 0)]
    public void Filters_choose_by_address_and_by_either_port(string? address, int? port, int rows)
    {
        (int status, string text) = Stage.Text(new Mappings(Stage.Options(address, port)), Stage.Read(Stage.Busy()));

        Assert.Equal(0, status);
        Assert.Equal(rows + 1, text.TrimEnd().Split('\n').Length);
    }

    [Fact]
    public void A_narrow_page_loses_its_last_columns_and_never_a_part_of_one()
    {
        (_, string wide) = Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy()));
        (_, string narrow) = Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy()), width: 50);
        (_, string tiny) = Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy()), width: 1);

        Assert.All(narrow.Split('\n'), line => Assert.True(line.Length <= 50));
        Assert.Equal(wide.Split('\n').Select(line => line[..Math.Min(line.Length, 30)].TrimEnd()), narrow.Split('\n').Select(line => line[..Math.Min(line.Length, 30)].TrimEnd()));
        Assert.Equal("LOCAL", tiny.Split('\n')[0].TrimEnd());
    }

    [Fact]
    public void Colours_are_only_where_they_are_welcome()
    {
        Assert.StartsWith("\u001b[32mserving:", Stage.Text(new Status(), Stage.Read(Stage.Busy()), inColour: true).Text);
        Assert.DoesNotContain("\u001b", Stage.Text(new Status(), Stage.Read(Stage.Busy())).Text);
    }

    [Fact]
    public void A_table_without_a_daemon_says_so_first_and_nothing_to_show_is_a_status()
    {
        (int status, string text) = Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy(), DaemonCondition.Dead));
        Assert.Equal(0, status);
        Assert.StartsWith("not running: process 4711 died, ", text);

        Assert.Equal(3, Stage.Json(new Mappings(Stage.Options()), Stage.Missing(DaemonCondition.Absent, "x")).Status);
        Assert.Equal(1, Stage.Json(new Peers(Stage.Options()), Stage.Missing(DaemonCondition.Unreadable, "x")).Status);
    }

    [Fact]
    public void Every_counter_has_a_name() => Assert.Equal(Enum.GetValues<Counter>().Order(), Counters.All.Select(one => one.Counter).Order());
}
