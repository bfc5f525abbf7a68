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
    private static (Configuration Configuration, List<string> Complaints) Parse(params string[] lines)
    {
        List<string> complaints = [];
        return (Configuration.Parse(lines, complaints), complaints);
    }

    [Fact]
    public void Every_key_is_understood_with_blanks_and_comments()
    {
        (Configuration c, List<string> complaints) = Parse(
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
            "interface=eth1",
            "state_dir=/var/lib/x",
            "log_level=debug");
        Assert.Empty(complaints);
        Assert.Equal(
            new Configuration
            {
                NetlinkBufferBytes = 1048576,
                QueryDeadline = TimeSpan.FromSeconds(2),
                QueryRetry = TimeSpan.FromMilliseconds(250),
                UnreachableMemory = TimeSpan.Zero,
                PortRange = new PortRange(20000, 30000),
                MaxMappings = 16,
                Admission = new AdmissionSettings { RequestRate = 5000, SourceRate = 50, RemoteInfoRate = 20 },
                Interface = "eth1",
                StateDirectory = "/var/lib/x",
                LogLevel = LogLevel.Debug,
            },
            c);
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
    [InlineData("max_mappings")]
    [InlineData("port_range=30000-20000")]
    [InlineData("port_range=0-20000")]
    [InlineData("port_range=1-65536")]
    [InlineData("port_range=1-2-3")]
    [InlineData("port_range=20000")]
    [InlineData("request_rate=0")]
    [InlineData("source_rate=1000001")]
    [InlineData("allow=")]
    [InlineData("allow=10.0.0.0/33")]
    [InlineData("allow=10.0.0.0/8/8")]
    [InlineData("deny=fd00::/129")]
    [InlineData("deny=10.0.0.1, storage")]
    [InlineData("deny=fe80::1%2")]
    [InlineData("interface=averylonginterface")]
    [InlineData("state_dir=run")]
    [InlineData("log_level=loud")]
    public void A_value_out_of_bounds_is_a_complaint_with_its_line_and_the_default_stands(string line)
    {
        (Configuration c, List<string> complaints) = Parse("", line);
        Assert.Equal(new Configuration(), c);
        Assert.StartsWith($"2: {line.Split('=')[0]} must be ", Assert.Single(complaints));
    }

    [Theory]
    [InlineData("", "10.0.0.1", true)]
    [InlineData("allow=10.0.0.0/8", "10.255.255.255", true)]
    [InlineData("allow=10.0.0.0/8", "11.0.0.0", false)]
    [InlineData("allow=10.0.0.7/8", "10.0.0.1", true)]
    [InlineData("allow=10.0.0.0/8", "fd00::1", false)]
    [InlineData("allow=10.0.0.0/8, fd00::/64", "fd00::ffff", true)]
    [InlineData("allow=10.0.0.0/8 fd00::/64", "fd00:0:0:1::1", false)]
    [InlineData("allow=::/0", "10.0.0.1", false)]
    [InlineData("deny=10.0.0.1", "10.0.0.1", false)]
    [InlineData("deny=10.0.0.1", "10.0.0.2", true)]
    [InlineData("deny=", "10.0.0.2", true)]
    [InlineData("deny=0.0.0.0/0", "10.0.0.2", false)]
    [InlineData("allow=10.0.0.0/8\ndeny=10.1.0.0/16", "10.1.2.3", false)]
    public void Networks_say_who_may_ask(string lines, string address, bool expected)
    {
        (Configuration c, List<string> complaints) = Parse(lines.Split('\n'));
        Assert.Empty(complaints);
        Assert.Equal(expected, c.PortMapper.Admission.Access.Contains(InetEndpoint.Parse(address)));
    }

    [Fact]
    public void An_unknown_name_is_a_complaint_that_names_it()
    {
        Assert.Contains("'nl_sock_rbuf'", Assert.Single(Parse("nl_sock_rbuf=1").Complaints));
    }

    [Fact]
    public void A_missing_file_is_fine_unless_it_was_asked_for()
    {
        Assert.Equal(new Configuration(), Configuration.Load("/nonexistent/iwpmd.conf", isRequired: false, []));
        SetupException e = Assert.Throws<SetupException>(() => Configuration.Load("/nonexistent/iwpmd.conf", isRequired: true, []));
        Assert.Equal(ExitStatus.Failure, e.ExitStatus);
        Assert.Contains("/nonexistent/iwpmd.conf", e.Message);
    }

    [Fact]
    public void The_shipped_file_names_every_key_with_its_default_and_says_nothing_wrong()
    {
        string[] lines = File.ReadAllLines(Repository.PathOf("iwpmd.conf"));
        (Configuration asShipped, List<string> complaints) = Parse(lines);
        Assert.Equal((new Configuration(), 0), (asShipped, complaints.Count));
        Assert.All(Configuration.Keys, key => Assert.Contains(lines, line => line.StartsWith($"#{key.Name}=", StringComparison.Ordinal) || line.StartsWith($"# {key.Name}=", StringComparison.Ordinal)));
    }
}
