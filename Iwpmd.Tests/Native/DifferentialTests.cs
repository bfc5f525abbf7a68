// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// One script, two daemons: the published executable and rdma-core's. Where they differ the step names the reason, and
/// the golden shows both: "-" is the C daemon, "+" ours. A difference without a reason is a failure, and so is a reason
/// without a difference.
/// </summary>
public class DifferentialTests
{
    /// <summary>Why ours does otherwise.</summary>
    private static readonly Dictionary<string, string> Deviations = new()
    {
        ["zeros"] = "unused bytes and padding are zero in what ours sends; C sends what its memory held",
        ["count first"] =
            "a refused ADD or QUERY counts as a reference, since its REMOVE will come; in C that REMOVE takes the port "
                + "of a live owner",
        ["references of a replay"] =
            "ours counts each replayed connection; in C the first REMOVE takes the port of all",
        ["replay of an unmapped connection"] =
            "mapped == local without NO_PORT_MAP is a connection that runs unmapped: ours binds nothing for it",
        ["replay over a wildcard"] =
            "a replayed port is in the kernel's use: ours keeps it also where it overlaps a wildcard mapping",
        ["unregistered client"] = "ours serves a client that did not say REG_PID to this process",
        ["rejected query"] = "the port of a rejected query is given back at once",
        ["asked wildcard"] = "a Request for the wildcard address is rejected",
        ["48-byte Request"] = "a Request of the draft's size is answered",
        ["unknown version"] = "a message of an unknown version is dropped",
        ["families apart"] =
            "IPv4 and IPv6 mappings of one port number live side by side, and a Request of one family does not find "
                + "the other's",
        ["mixed query"] = "a QUERY with two families is refused",
        ["wrong address"] = "an answer must name both addresses of the query",
        ["netlink of processes"] = "only the kernel is listened to",
        ["unreachable peer"] = "ICMP unreachable ends a query at once",
        ["missing FLAGS"] = "the FLAGS attribute is optional whatever ABI was agreed",
        ["nobody waits"] = "a message that cannot be read and that nobody waits for gets no HANDLE_ERR",
        ["unknown HELLO"] =
            "an ABI version that is not known is not refused: at the start it is taken for the nearest one",
        ["missing SEQ"] = "the attributes SEQ and IF_NAME may be missing",
        ["behind a DONE"] = "what stands behind an NLMSG_DONE is read",
        ["unasked client"] = "MAPINFO of a client that was not asked claims nothing",
        ["ip version"] = "a message whose IP version is not that of its packet is dropped",
        ["PmTime"] = "PmTime is 0 in all that is sent",
        ["oversized datagram"] = "a datagram longer than a Request is dropped, not cut",
        ["neighbours of a bad message"] = "a bad message does not take the rest of its datagram with it",
    };

    [Fact]
    public async Task Both_daemons_say_the_same_but_for_named_reasons()
    {
        Task<IReadOnlyList<DifferentialStep>> ours = Task.Factory.StartNew(
            () => Play(StartOurs, isForgiving: false), TaskCreationOptions.LongRunning);
        Task<IReadOnlyList<DifferentialStep>> c = Task.Factory.StartNew(
            () => Play(DaemonProcess.C, isForgiving: true), TaskCreationOptions.LongRunning);
        (IReadOnlyList<DifferentialStep> ourSteps, IReadOnlyList<DifferentialStep> theirSteps) = (await ours, await c);
        var text = new StringBuilder();
        List<string> faults = [];
        for (int i = 0; i < ourSteps.Count; i++)
        {
            Compare(ourSteps[i], WithoutStrayBytes(theirSteps[i]), text, faults);
        }
        HashSet<string> used =
            [
                .. ourSteps.SelectMany(step => step.Deviations),
                .. theirSteps.Any(step => WithoutStrayBytes(step) != step) ? ["zeros"] : (string[])[],
            ];
        faults.AddRange(Deviations.Keys.Where(name => !used.Contains(name)).Select(
            name => $"no step shows the deviation \"{name}\""));
        Assert.True(ourSteps.Count >= 100, $"only {ourSteps.Count} steps");
        await Golden.Verify(text.ToString());
        Assert.True(faults.Count == 0, string.Join('\n', faults));
    }

    /// <summary>Which bytes are stray changes from run to run.</summary>
    private static DifferentialStep WithoutStrayBytes(DifferentialStep step) =>
        step.Lines.Any(line => line.EndsWith(Transcript.StrayBytes))
            ? step with { Lines = [.. step.Lines.Select(line => line.Replace(Transcript.StrayBytes, ""))] }
            : step;

    /// <summary>As patient with peers as the other, so that a busy machine makes no difference.</summary>
    private static DaemonProcess StartOurs(Host host, SimulatedKernel kernel)
    {
        host.Write("/etc/iwpmd.conf", "query_deadline=9000\nunreachable_memory=0\n");
        return DaemonProcess.Foreground(host, kernel);
    }

    private static IReadOnlyList<DifferentialStep> Play(
        Func<Host, SimulatedKernel, DaemonProcess> start, bool isForgiving)
    {
        using var run = new DifferentialRun(isForgiving);
        new DifferentialScript(run).Play(start);
        Assert.Equal(0, run.Stop(TestLibc.SIGTERM));
        return run.Steps;
    }

    private static void Compare(DifferentialStep ours, DifferentialStep c, StringBuilder text, List<string> faults)
    {
        text.Append($"{ours.Name}\n");
        bool differs = !ours.Lines.SequenceEqual(c.Lines);
        foreach (string line in ours.Lines.Union(c.Lines))
        {
            bool isOurs = ours.Lines.Contains(line), isTheirs = c.Lines.Contains(line);
            text.Append($"  {(isOurs && isTheirs ? ' ' : isOurs ? '+' : '-')} {line}\n");
        }
        foreach (string name in ours.Deviations)
        {
            text.Append($"    {name}: {Deviations[name]}\n");
        }
        if (differs != ours.Deviations.Length > 0)
        {
            faults.Add(
                differs
                    ? $"step \"{ours.Name}\" differs without a reason"
                    : $"step \"{ours.Name}\" has a reason but does not differ");
        }
    }
}
