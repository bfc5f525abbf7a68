// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Puts another configuration in force while the daemon runs, when <c>iwpmd reload</c> brings one. It comes as a text: the daemon is another user than the
/// administrator, and its sandbox need not let it see the file. One with which it would not start changes nothing.
/// </summary>
internal sealed class Reconfiguration(Configuration inForce, Holdings holdings, PortMapper mapper, PortPolicy policy, ILogger log)
{
    private Configuration _inForce = inForce;

    /// <summary>Takes Requests by other interfaces from now on.</summary>
    public required Action<NamedInterfaces> TakeFrom { get; init; }

    /// <summary>Null where the command line says what to log.</summary>
    public Action<LogLevel>? SetLogLevel { get; init; }

    /// <summary>Returns what is to be said about it, one line each.</summary>
    public string Apply(string path, string text, out bool isAccepted)
    {
        if (path != _inForce.Path)
        {
            isAccepted = false;
            Log.ConfigurationRefused(log, path);
            return $"nothing is changed: the daemon was started with {_inForce.Path}: iwpmd reload -c {_inForce.Path}\n";
        }
        LoadedConfiguration loaded = ConfigurationParser.Parse(text.Split('\n'));
        var said = new StringBuilder();
        foreach (Complaint complaint in loaded.Complaints)
        {
            Log.ConfigurationComplaint(log, path, complaint.ToString());
            said.Append(path).Append(':').Append(complaint).Append('\n');
        }
        isAccepted = !Array.Exists(loaded.Complaints, complaint => complaint.IsFatal);
        if (!isAccepted)
        {
            Log.ConfigurationRefused(log, path);
            return said.Append("nothing is changed: the previous configuration stays in force\n").ToString();
        }
        foreach (string key in KeysOfNextStart(loaded.Configuration))
        {
            Log.ConfigurationLater(log, path, key);
            said.Append(path).Append(": ").Append(key).Append(" takes effect at the next start\n");
        }
        PutInForce(loaded.Configuration);
        Log.ConfigurationInForce(log, path);
        return said.ToString();
    }

    /// <summary>What needs another table, or the CAP_NET_ADMIN that only the start has.</summary>
    private IEnumerable<string> KeysOfNextStart(Configuration wanted)
    {
        if (wanted.MaxMappings != _inForce.MaxMappings)
        {
            yield return "max_mappings";
        }
        if (wanted.StateDirectory != _inForce.StateDirectory)
        {
            yield return "state_dir";
        }
        if (wanted.NetlinkBufferBytes != _inForce.NetlinkBufferBytes)
        {
            yield return "nl_sock_rbuf_size";
        }
    }

    private void PutInForce(Configuration wanted)
    {
        mapper.Apply(wanted.PortMapper);
        policy.Configure(wanted.PortRange, holdings.Ports, holdings.State);
        holdings.Ports.Kept = wanted.KeptPorts;
        TakeFrom(new NamedInterfaces(wanted.Interfaces));
        SetLogLevel?.Invoke(wanted.LogLevel);
        _inForce = wanted with
        {
            MaxMappings = _inForce.MaxMappings,
            StateDirectory = _inForce.StateDirectory,
            NetlinkBufferBytes = _inForce.NetlinkBufferBytes,
            Path = _inForce.Path,
        };
        using var health = new RowChange<HealthRow>(ref holdings.State.Health);
        health.Row.ConfiguredAt = Clock.Now.Ticks;
    }
}
