// SPDX-License-Identifier: MIT
using Iwpmd.Cli;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;
using Mappings = Iwpmd.Cli.Mappings;

namespace Iwpmd.Tests.Cli;

/// <summary>
/// What status, mappings, peers and metrics print of a state. The goldens of the JSON are its documentation's proof:
/// names are promises.
/// </summary>
public class ViewTests
{
    [Fact]
    public Task Status_is_one_screen() => Golden.Verify(Stage.Text(new Status(), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Status_as_json() => Golden.Verify(Stage.Json(new Status(), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Mappings_as_a_table() =>
        Golden.Verify(Stage.Text(new Mappings(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Mappings_as_json() =>
        Golden.Verify(Stage.Json(new Mappings(Stage.Options()), Stage.Read(Stage.Busy())).Text);

    [Fact]
    public Task Peers_as_a_table() =>
        Golden.Verify(Stage.Text(new Peers(Stage.Options()), Stage.Read(Stage.Busy())).Text);

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
        var dead = Stage.Read(Stage.Busy(), DaemonCondition.Crashed);
        World ended = Stage.Busy();
        ended.State.Header.EndedAt = ended.Now - TimeSpan.FromMinutes(5);
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
        var replayed = new World();
        replayed.Add("10.0.0.1:5000");
        using (var client = new RowChange<ClientRow>(ref replayed.State.Clients[2]))
        {
            client.Row.IsRegistered = false;
        }
        var around = new Surroundings(default, HasDevice: true, "start it (HOW)");
        (StateReading Reading, Surroundings Around)[] cases =
        [
            (Stage.Read(Stage.Busy()), around),
            (Stage.Read(new World()), around),
            (Stage.Read(hung, DaemonCondition.Hung), around),
            (Stage.Read(waiting, DaemonCondition.Starting), around),
            (Stage.Read(waiting), around),
            (Stage.Read(unprotected), around),
            (Stage.Read(damaged), around),
            (dead, around),
            (Stage.Read(ended, DaemonCondition.Stopped), around),
            (dead, around with { Owner = new PortOwner(true, 99, "iwpmd") }),
            (dead, around with { Owner = new PortOwner(true, 98, "socat") }),
            (dead, around with { Owner = new PortOwner(true, 0, "") }),
            (Stage.Missing(DaemonCondition.Absent, "there is no /run/iwpmd/state"), around),
            (Stage.Missing(DaemonCondition.Absent, "there is no /run/iwpmd/state"), around with { HasDevice = false }),
            (
                Stage.Missing(DaemonCondition.NotPermitted, "/run/iwpmd/state is for root and the daemon's user only"),
                around),
            (Stage.Read(replayed), around),
            (
                Stage.Read(ended, DaemonCondition.Stopped),
                around with { Owner = new PortOwner(false, 0, "", IsKept: true) }),
            (
                Stage.Missing(
                    DaemonCondition.Unreadable,
                    "/run/iwpmd/state: its layout is version 2, this iwpmd has 1: restart the daemon, process 99", 99),
                around),
        ];
        IEnumerable<string> lines = cases.Select(one => Health.Of(one.Reading, one.Around)).Select(
            health =>
                $"{health.ExitStatus} {health.Name}: {health.Sentence}"
                    + string.Concat(health.Problems.Select(p => $"\n    {p}")));
        return Golden.Verify(string.Join('\n', lines));
    }

    /// <summary>Found by fuzzing: rows with the right checksum may be another version's.</summary>
    [Theory]
    [InlineData(long.MinValue)]
    [InlineData(long.MaxValue)]
    public void A_state_with_times_that_cannot_be_is_shown_and_continued(long ticks)
    {
        World world = Stage.Busy();
        var never = new TimeSpan(ticks);
        StateLayout state = world.State;
        (state.Header.StartedAt, state.Header.EndedAt, state.Header.SeenEmptyAt) = (never, never, never);
        using (var health = new RowChange<HealthRow>(ref state.Health))
        {
            (health.Row.LastFallbackAt, health.Row.ConfiguredAt) = (never, never);
            foreach (ref LossRow loss in (Span<LossRow>)health.Row.Losses)
            {
                (loss.Since, loss.LastAt, loss.Count) = (never, never, 1);
            }
        }
        for (int i = 0; i < state.Mappings.Length; i++)
        {
            using var mapping = new RowChange<MappingRow>(ref state.Mappings[i]);
            (mapping.Row.CreatedAt, mapping.Row.LastChangedAt) = (never, never);
        }
        for (int i = 0; i < state.Conversations.Length; i++)
        {
            using var conversation = new RowChange<ConversationRow>(ref state.Conversations[i]);
            (conversation.Row.AnswerBy, conversation.Row.Deadline) = (never, never);
            conversation.Row.LastSentAt = never;
        }
        for (int i = 0; i < state.Peers.Length; i++)
        {
            using var peer = new RowChange<PeerRow>(ref state.Peers[i]);
            (peer.Row.LastSeenAt, peer.Row.UnreachableUntil) = (never, never);
        }
        for (int i = 0; i < state.Clients.Length; i++)
        {
            using var client = new RowChange<ClientRow>(ref state.Clients[i]);
            client.Row.RegisteredAt = never;
        }

        foreach (DaemonCondition condition in (DaemonCondition[])[DaemonCondition.Running, DaemonCondition.Stopped])
        {
            StateReading reading = Stage.Read(world, condition);
            Assert.NotEmpty(Stage.Text(new Status(), reading).Text);
            Assert.NotEmpty(Stage.Json(new Status(), reading).Text);
            Assert.NotEmpty(Stage.Text(new Mappings(Stage.Options()), reading).Text);
            Assert.NotEmpty(Stage.Json(new Mappings(Stage.Options()), reading).Text);
            Assert.NotEmpty(Stage.Text(new Peers(Stage.Options()), reading).Text);
            Assert.NotEmpty(Stage.Json(new Peers(Stage.Options()), reading).Text);
            Metrics.Write(reading, new DateTime(2026, 11, 22, 12, 0, 0, DateTimeKind.Utc), TextWriter.Null);
        }

        var next = new World(handshake: false, state: state) { Now = world.Now };
        next.Mapper.Restore(next.Now);
        next.Introduce();
        next.Add("10.0.0.7:5000");
        next.Query("10.0.0.7:5001", "10.0.0.2:80");
        next.Pass(TimeSpan.FromMinutes(2));
        Assert.True(next.HasRow("10.0.0.7:5000"));
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
        Assert.Equal(
            wide.Split('\n').Select(line => line[..Math.Min(line.Length, 30)].TrimEnd()),
            narrow.Split('\n').Select(line => line[..Math.Min(line.Length, 30)].TrimEnd()));
        Assert.Equal("LOCAL", tiny.Split('\n')[0].TrimEnd());
    }

    [Fact]
    public void Colours_are_only_where_they_are_welcome()
    {
        Assert.StartsWith(
            "\u001b[32mserving:", Stage.Text(new Status(), Stage.Read(Stage.Busy()), inColour: true).Text);
        Assert.DoesNotContain("\u001b", Stage.Text(new Status(), Stage.Read(Stage.Busy())).Text);
    }

    [Fact]
    public void A_table_without_a_daemon_says_so_first_and_nothing_to_show_is_a_status()
    {
        (int status, string text) = Stage.Text(
            new Mappings(Stage.Options()), Stage.Read(Stage.Busy(), DaemonCondition.Crashed));
        Assert.Equal(3, status);
        Assert.StartsWith("not running: process 4711 crashed; ", text);
        Assert.Equal(
            3, Stage.Text(new Peers(Stage.Options()), Stage.Read(Stage.Busy(), DaemonCondition.Crashed)).Status);

        Assert.Equal(3, Stage.Json(new Mappings(Stage.Options()), Stage.Missing(DaemonCondition.Absent, "x")).Status);
        Assert.Equal(1, Stage.Json(new Peers(Stage.Options()), Stage.Missing(DaemonCondition.Unreadable, "x")).Status);
        Assert.Equal(
            77, Stage.Json(new Peers(Stage.Options()), Stage.Missing(DaemonCondition.NotPermitted, "x")).Status);
        Assert.Equal(77, Stage.Json(new Status(), Stage.Missing(DaemonCondition.NotPermitted, "x")).Status);
    }

    /// <summary>Its ports are free: nothing is held, protected, used or registered any more.</summary>
    [Theory]
    [InlineData(nameof(DaemonCondition.Stopped))]
    [InlineData(nameof(DaemonCondition.Crashed))]
    public void What_a_daemon_left_that_is_gone_is_called_left(string condition)
    {
        World world = Stage.Busy();
        world.State.Header.EndedAt = condition == nameof(DaemonCondition.Stopped) ? world.Now : TimeSpan.Zero;
        StateReading gone = Stage.Read(world, Enum.Parse<DaemonCondition>(condition));
        (int Status, string Text)[] looks =
            [
                Stage.Text(new Mappings(Stage.Options()), gone), Stage.Json(new Mappings(Stage.Options()), gone),
                Stage.Text(new Status(), gone), Stage.Json(new Status(), gone),
            ];
        var metrics = new StringWriter();
        Metrics.Write(gone, DateTime.UnixEpoch, metrics);

        Assert.All(looks, look => Assert.Equal(3, look.Status));
        Assert.DoesNotContain("held", looks[0].Text);
        Assert.Equal(7, looks[0].Text.Split('\n').Count(line => line.Contains(" left ", StringComparison.Ordinal)));
        Assert.DoesNotContain("\"held\"", looks[1].Text);
        Assert.DoesNotContain("true", looks[1].Text);
        Assert.Contains("mappings   7 of 256: 7 left; 7 references\nports      0 of 10000 used", looks[2].Text);
        Assert.DoesNotContain("kernel ", looks[2].Text);
        Assert.Contains("\"held\": 0,", looks[3].Text);
        Assert.Contains("\"left\": 7,", looks[3].Text);
        Assert.Contains("\"used\": 0,", looks[3].Text);
        Assert.Contains("\"kernel\": \"none\"", looks[3].Text);
        Assert.DoesNotContain("true", looks[3].Text);
        Assert.All(
            (string[])
            [
                "mappings{state=\"held\"} 0", "mappings{state=\"left\"} 7", "ports_used 0", "up 0", "kernel_ready 0",
            ],
            line => Assert.Contains($"\niwpmd_{line}\n", metrics.ToString()));
        Assert.DoesNotContain("iwpmd_kernel_client_info{", metrics.ToString());
    }

    /// <summary>Names come from the kernel and from other processes.</summary>
    [Fact]
    public void Control_characters_in_names_are_shown_and_not_sent()
    {
        World world = Stage.Busy();
        using (var client = new RowChange<ClientRow>(ref world.State.Clients[2]))
        {
            client.Row.Device = new FixedName("siw\u001b[2J");
        }
        StateReading reading = Stage.Read(world);
        var metrics = new StringWriter();
        Metrics.Write(reading, DateTime.UnixEpoch, metrics);

        Assert.All(
            (string[])[Stage.Text(new Status(), reading).Text, Stage.Text(new Mappings(
                Stage.Options()), reading).Text, metrics.ToString()],
            text => Assert.DoesNotContain("\u001b", text));
        Assert.Contains("siw\\x1b[2J", Stage.Text(new Status(), reading).Text);
    }

    [Fact]
    public void The_doctor_ends_with_what_to_do_first()
    {
        Finding good = Finding.Ok("a", "well"), doubt = Finding.Warning("b", "odd", "look at it"),
            bad = Finding.Failure("c", "broken", "mend it");

        Assert.Equal("no fault found in 2 checks", Doctor.Sum([good, good]));
        Assert.Equal("0 failures and 1 warning in 2 checks; first b: look at it", Doctor.Sum([good, doubt]));
        Assert.Equal("2 failures and 1 warning in 4 checks; first c: mend it", Doctor.Sum([good, doubt, bad, bad]));
        Assert.Equal("1 failure and 0 warnings in 1 check; first c: broken", Doctor.Sum([bad with { Remedy = "" }]));
        Finding hidden = doubt with { Check = "d", Remedy = Finding.AsRoot };
        Assert.Equal("0 failures and 2 warnings in 2 checks; first d: run this as root", Doctor.Sum([doubt, hidden]));
        Assert.Equal("1 failure and 2 warnings in 3 checks; first c: mend it", Doctor.Sum([doubt, hidden, bad]));
        var text = new StringWriter();
        Doctor.Write(new TextOutput(text, int.MaxValue, false), [bad]);
        Assert.Equal(
            "failure  c              broken: mend it\n\n1 failure and 0 warnings in 1 check; first c: mend it\n",
            text.ToString());
    }

    [Fact]
    public void Every_counter_has_a_name() =>
        Assert.Equal(Enum.GetValues<Counter>().Order(), Counters.All.Select(one => one.Counter).Order());
}
