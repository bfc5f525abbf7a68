// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Daemon;

public class ConfigurationTests
{
    private static (Configuration Configuration, string[] Complaints) Parse(params string[] lines)
    {
        LoadedConfiguration loaded = ConfigurationParser.Parse(lines);
        return (loaded.Configuration, Array.ConvertAll(loaded.Complaints, complaint => complaint.ToString()));
    }

    [Fact]
    public void A_directory_may_end_with_a_slash()
    {
        (Configuration c, string[] complaints) = Parse("state_dir=/no/../no-such-directory//");
        Assert.Empty(complaints);
        Assert.Equal("/no-such-directory", c.StateDirectory);
    }

    /// <summary>Each needs a descriptor.</summary>
    [Theory]
    [InlineData("", 28232)]
    [InlineData("max_mappings=100", 100)]
    [InlineData("port_range=40000-40015", 16)]
    [InlineData("port_range=40000-40015 keep_ports=3260,4420-4421", 19)]
    public void No_more_ports_are_claimed_than_there_are_in_the_range_or_kept(string lines, int ports)
    {
        Configuration c = Parse(lines.Split(' ')).Configuration;
        Assert.Equal(ports, c.PortsAtMost(c.PortRange ?? HostSettings.DefaultPortRange));
    }

    [Fact]
    public void Every_key_is_understood_with_blanks_and_comments()
    {
        (Configuration c, string[] complaints) = Parse(
            "# a comment",
            "",
            "nl_sock_rbuf_size=1048576",
            "  query_deadline = 2000  # ms",
            "query_retry=250",
            "unreachable_memory=0",
            "port_range=20000-30000",
            "max_mappings=16",
            "request_rate=5000",
            "source_rate=50",
            "remote_info_rate=20",
            "keep_ports=4420, 3260-3262",
            "answers_from=asked",
            "interface=lo, lo",
            "state_dir=/var/lib/x",
            "log_level=debug");
        Assert.Empty(complaints);
        Assert.Equal([(4420, 4420), (3260, 3262)], c.PortMapper.KeptPorts.Ranges);
        Assert.Equal(
            new Configuration
            {
                NetlinkBufferBytes = 1048576,
                PortRange = new PortRange(20000, 30000),
                MaxMappings = 16,
                PortMapper = new PortMapperSettings
                {
                    QueryDeadline = TimeSpan.FromSeconds(2),
                    QueryRetry = TimeSpan.FromMilliseconds(250),
                    UnreachableMemory = TimeSpan.Zero,
                    KeptPorts = c.PortMapper.KeptPorts, // compared above
                    AnswersFrom = AnswerSource.Asked,
                    Admission = new AdmissionSettings { RequestRate = 5000, SourceRate = 50, RemoteInfoRate = 20 },
                },
                Interfaces = c.Interfaces,
                StateDirectory = "/var/lib/x",
                LogLevel = LogLevel.Debug,
            },
            c);
        Assert.Equal(["lo", "lo"], c.Interfaces);
    }

    [Theory]
    [InlineData("nl_sock_rbuf_size=65535")]
    [InlineData("nl_sock_rbuf_size=1073741825")]
    [InlineData("query_deadline=99")]
    [InlineData("query_deadline=9001")]
    [InlineData("query_retry=x")]
    [InlineData("unreachable_memory=-1")]
    [InlineData("max_mappings=15")]
    [InlineData("max_mappings=")]
    [InlineData("port_range=30000-20000")]
    [InlineData("port_range=0-20000")]
    [InlineData("port_range=1-65536")]
    [InlineData("port_range=1-2-3")]
    [InlineData("port_range=20000")]
    [InlineData("keep_ports=0")]
    [InlineData("keep_ports=65536")]
    [InlineData("keep_ports=5-4")]
    [InlineData("keep_ports=4420-")]
    [InlineData("request_rate=0")]
    [InlineData("source_rate=1000001")]
    [InlineData("allow=")]
    [InlineData("allow=10.0.0.0/99")]
    [InlineData("allow=10.0.0.7/8")]
    [InlineData("allow=10.0.0.0/08")]
    [InlineData("allow=10.0.0.0/+8")]
    [InlineData("allow=10.0.0.0/")]
    [InlineData("allow=10/8")]
    [InlineData("allow=10.1")]
    [InlineData("allow=010.0.0.1")]
    [InlineData("allow=0x0a000001")]
    [InlineData("allow=[fd00::1]")]
    [InlineData("allow=10.0.0.1 everyone")]
    [InlineData("deny=,")]
    [InlineData("deny=::ffff:10.0.0.1")]
    [InlineData("deny=fd00::1%0")]
    [InlineData("allow=10.0.0.0/33")]
    [InlineData("allow=10.0.0.0/8/8")]
    [InlineData("deny=fd00::/129")]
    [InlineData("deny=10.0.0.1, storage")]
    [InlineData("deny=fe80::1%2")]
    [InlineData("interface=averylonginterface")]
    [InlineData("interface=eth0, a/b")]
    [InlineData("interface=,")]
    [InlineData("state_dir=run")]
    [InlineData("state_dir=/")]
    [InlineData("state_dir=//.")]
    [InlineData("state_dir=/var/..")]
    [InlineData("state_dir=/run/a\0b")]
    [InlineData(
        "state_dir=/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
            + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")] // 99 bytes
    [InlineData("log_level=loud")]
    public void A_value_out_of_bounds_is_a_complaint_with_its_line_and_the_default_is_used(string line)
    {
        (Configuration c, string[] complaints) = Parse("", line);
        Assert.Equal(new Configuration(), c);
        Assert.StartsWith($"2: {line.Split('=')[0]} must be ", Assert.Single(complaints));
    }

    [Theory]
    [InlineData("", "10.0.0.1", true)]
    [InlineData("allow=10.0.0.0/8", "10.255.255.255", true)]
    [InlineData("allow=10.0.0.0/8", "11.0.0.0", false)]
    [InlineData("allow=10.0.0.0/8\tfd00::/64", "fd00::1", true)]
    [InlineData("allow=10.0.0.0/8", "fd00::1", false)]
    [InlineData("allow=10.0.0.0/8, fd00::/64", "fd00::ffff", true)]
    [InlineData("allow=10.0.0.0/8 fd00::/64", "fd00:0:0:1::1", false)]
    [InlineData("allow=::/0", "10.0.0.1", false)]
    [InlineData("deny=10.0.0.1", "10.0.0.1", false)]
    [InlineData("deny=10.0.0.1", "10.0.0.2", true)]
    [InlineData("deny=", "10.0.0.2", true)]
    [InlineData("allow=10.0.0.0/8\ndeny=10.1.0.0/16", "10.1.2.3", false)]
    public void Networks_say_who_may_ask(string lines, string address, bool expected)
    {
        (Configuration c, string[] complaints) = Parse(lines.Split('\n'));
        Assert.Empty(complaints);
        Assert.Equal(expected, c.PortMapper.Admission.Access.Contains(InetEndpoint.Parse(address)));
    }

    [Fact]
    public void An_unknown_name_is_a_complaint_that_names_it()
    {
        Assert.Equal(["1: unknown name 'nl_sock_rbuf': the line is ignored"], Parse("nl_sock_rbuf=1").Complaints);
        Assert.Equal(
            ["1: unknown name 'query_retri', perhaps query_retry: the line is ignored"],
            Parse("query_retri=1").Complaints);
    }

    /// <summary>With the default the daemon would serve whom it was not meant to.</summary>
    [Theory]
    [InlineData(
        "allow=10.0.0.0/99",
        "allow must be networks like 10.0.0.0/8, fd00::/8 (the rest of the address 0), or addresses, "
            + "not '10.0.0.0/99'")]
    [InlineData("allow=10.0.0.1, 10.0.0.1/8", "allow must be networks like 10.0.0.0/8, fd00::/8 (the rest of the "
        + "address 0), or addresses, not '10.0.0.1, 10.0.0.1/8', perhaps 10.0.0.1, 10.0.0.0/8")]
    [InlineData("deny=10.0.0.1 10.0.0.x", null)]
    [InlineData("interface=eth0/1", null)]
    [InlineData("interface=10.0.0.1/8", "interface must be names of network interfaces, not '10.0.0.1/8': ")]
    [InlineData("allow 10.0.0.0/8", "'allow 10.0.0.0/8' has no '='")]
    [InlineData("deny: 10.0.0.0/8", null)]
    [InlineData("alow=10.0.0.0/8", "unknown name 'alow', perhaps allow")]
    [InlineData("Interfaces=eth0", null)]
    [InlineData("denied=10.0.0.1", "unknown name 'denied', perhaps deny")]
    [InlineData("allowed_hosts=10.0.0.1", "unknown name 'allowed_hosts', perhaps allow")]
    [InlineData("ACL=10.0.0.0/8", "unknown name 'ACL', perhaps allow")]
    [InlineData("block 10.0.0.1", null)]
    [InlineData("netdev=eth0", "unknown name 'netdev', perhaps interface")]
    [InlineData("whitelist=10.0.0.1", "unknown name 'whitelist', perhaps allow")]
    [InlineData("blacklist=10.0.0.1", "unknown name 'blacklist', perhaps deny")]
    [InlineData("listen_on=eth0", null)]
    [InlineData("accept_answers=asked", "unknown name 'accept_answers', perhaps answers_from")]
    [InlineData("dney=10.0.0.1", null)]
    [InlineData("nic=eth0", "unknown name 'nic', perhaps interface")]
    [InlineData("acept=10.0.0.0/8", "unknown name 'acept': ")]
    [InlineData("networks=fd00::1/8", "unknown name 'networks': ")]
    [InlineData("networks=10.0.0.0/8, fd00::/8", "unknown name 'networks': ")]
    [InlineData("hosts = a, fd00::1", null)]
    [InlineData("deny=10.0.0.1\ndeny=10.0.0.2", "deny is set in line 1 already")]
    public void A_fault_in_what_restricts_is_fatal(string lines, string? fault)
    {
        LoadedConfiguration loaded = ConfigurationParser.Parse(lines.Split('\n'));

        Complaint complaint = Assert.Single(loaded.Complaints);
        Assert.True(complaint.IsFatal);
        Assert.EndsWith(": the daemon does not start, since this restricts who is served or heard", complaint.Text);
        Assert.StartsWith(fault ?? "", complaint.Text);
        SetupException refused = Assert.Throws<SetupException>(() => loaded.Refuse("/etc/iwpmd.conf"));
        Assert.Equal(ExitStatus.Configuration, refused.ExitStatus);
        Assert.Equal($"configuration: /etc/iwpmd.conf:{complaint.Line}: {complaint.Text}", refused.Message);
    }

    [Theory]
    [InlineData("query_retry=x", "1: query_retry must be 100 to 5000 ms, not 'x': the default, 500, stands")]
    [InlineData(
        "query_retry=700\nquery_retry=x", "2: query_retry must be 100 to 5000 ms, not 'x': '700' of line 1 stands")]
    [InlineData(
        "port_range=9", "1: port_range must be LOW-HIGH, each 1 to 65535, not '9': the default, the host's, stands")]
    [InlineData("max_mappings", "1: 'max_mappings' has no '=': the line is ignored")]
    [InlineData("max_mappings 100", "1: 'max_mappings 100' has no '=': the line is ignored")]
    [InlineData(
        "max_mappings=100\nmax_mappings=200", "2: max_mappings is set in line 1 already: '200' of this line is used")]
    [InlineData(
        "# a deadline\nquery_deadline=400",
        "2: query_retry (500 ms) is above query_deadline (400 ms): each host is asked only once")]
    [InlineData(
        "query_deadline=400\nquery_retry=401",
        "2: query_retry (401 ms) is above query_deadline (400 ms): each host is asked only once")]
    [InlineData(
        "interface=lo, nosuch0", "1: there is no network interface 'nosuch0': nothing comes from it until there is")]
    [InlineData("deny=0.0.0.0/0", "1: deny has all of 0.0.0.0/0: none of its hosts may ask")]
    [InlineData(
        "request_rate=999",
        "1: source_rate (1000) is above request_rate (999): one unvalidated host can use up the rate of all")]
    [InlineData(
        "max_mappings=101\nport_range=40000-40099",
        "2: port_range has 100 ports for 101 mappings of max_mappings: connections beyond that continue unmapped")]
    [InlineData("state_dir=/dev/null", "1: state_dir, /dev/null, is no directory: mappings do not outlive the daemon")]
    [InlineData(
        "state_dir=/nowhere/of/it",
        "1: state_dir, /nowhere/of/it, cannot be made, since there is no directory /nowhere/of: mappings do not "
            + "outlive the daemon")]
    [InlineData(
        "allow=10.0.0.0/8, fd00::1\ndeny=fd00::/16",
        "2: deny has all of fd00::1/128, which allow has too: none of its hosts may ask")]
    public void Any_other_fault_names_the_value_that_is_used(string lines, string expected)
    {
        LoadedConfiguration loaded = ConfigurationParser.Parse(lines.Split('\n'));

        Assert.Equal(expected, Assert.Single(loaded.Complaints).ToString());
        Assert.False(loaded.Complaints[0].IsFatal);
        loaded.Refuse("FILE");
    }

    [Fact]
    public void A_sound_file_has_no_complaint() =>
        Assert.Empty(
            Parse(
                "query_deadline=500", "allow=10.0.0.0/8", "deny=10.0.0.1", "interface=", "port_range=40000-40000",
                "state_dir=/run").Complaints);

    [Fact]
    public void A_file_that_cannot_be_read_is_named_with_the_reason()
    {
        Assert.Equal("/dev/zero cannot be read: it has more than 65535 characters", Fault("/dev/zero"));
        Assert.Equal("/etc cannot be read: it is a directory", Fault("/etc"));
        Assert.Equal(
            "/no/such/file cannot be read: No such file or directory (ENOENT): check the path", Fault("/no/such/file"));

        static string Fault(string path) => Assert.Throws<SetupException>(
            () => Configuration.Load(path, isRequired: true)).Message["configuration: ".Length..];
    }

    [Fact]
    public void A_missing_file_is_fine_unless_it_was_asked_for()
    {
        Assert.Equal(
            new Configuration(), Configuration.Load("/nonexistent/iwpmd.conf", isRequired: false).Configuration);
        SetupException e = Assert.Throws<SetupException>(
            () => Configuration.Load("/nonexistent/iwpmd.conf", isRequired: true));
        Assert.Equal(ExitStatus.Configuration, e.ExitStatus);
        Assert.Contains("/nonexistent/iwpmd.conf", e.Message);
    }

    [Fact]
    public void The_shipped_file_names_every_key_with_its_default_and_says_nothing_wrong()
    {
        string[] lines = File.ReadAllLines(Repository.PathOf("iwpmd.conf"));
        (Configuration asShipped, string[] complaints) = Parse(lines);
        Assert.Equal((new Configuration(), 0), (asShipped, complaints.Length));
        Assert.Empty(Parse([.. lines.Select(line => Regex.Replace(line, "^#([a-z_]+=)", "$1"))]).Complaints);
        Assert.All(Configuration.Keys, key => Assert.Contains(
            lines, line => line.StartsWith($"#{key.Name}=", StringComparison.Ordinal)));
        string[] words = ["port_range", "keep_ports", "allow", "deny", "interface"]; // their defaults are no values
        Assert.All(Configuration.Keys.Where(key => !words.Contains(key.Name)), key => Assert.Contains(
            $"#{key.Name}={key.Default}", lines));
    }
}
