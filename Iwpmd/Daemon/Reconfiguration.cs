// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Applies another configuration while the daemon runs, when <c>iwpmd reload</c> sends one. It comes as a text: the
/// daemon runs as another user than the administrator, and its sandbox may hide the file. A configuration with which
/// the daemon would not start changes nothing.
/// </summary>
internal sealed class Reconfiguration(
    Configuration inForce, DaemonResources resources, PortMapper mapper, PortPolicy policy, ILogger log)
{
    private Configuration _inForce = inForce;

    /// <summary>Sets the interfaces from which Requests are accepted.</summary>
    public required Action<NamedInterfaces> TakeFrom { get; init; }

    /// <summary>Null when the command line sets the log level.</summary>
    public Action<LogLevel>? SetLogLevel { get; init; }

    /// <summary>Returns the text of the answer, in lines.</summary>
    public string Apply(string path, string text, out bool isAccepted)
    {
        if (path != _inForce.Path)
        {
            isAccepted = false;
            Log.ConfigurationRefused(log, path);
            return $"nothing is changed: the daemon was started with {_inForce.Path}: iwpmd reload -c "
                + $"{_inForce.Path}\n";
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
        PutInForce(loaded.Configuration with { Faults = loaded.Complaints.Length });
        Log.ConfigurationInForce(log, path);
        return said.ToString();
    }

    /// <summary>Keys that need another table, or CAP_NET_ADMIN, which the daemon has only at start.</summary>
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
        policy.Configure(wanted.PortRange, resources.Ports, resources.State);
        resources.Ports.Kept = wanted.PortMapper.KeptPorts;
        TakeFrom(new NamedInterfaces(wanted.Interfaces));
        SetLogLevel?.Invoke(wanted.LogLevel);
        _inForce = wanted with
        {
            MaxMappings = _inForce.MaxMappings,
            StateDirectory = _inForce.StateDirectory,
            NetlinkBufferBytes = _inForce.NetlinkBufferBytes,
            Path = _inForce.Path,
        };
        using var health = new RowChange<HealthRow>(ref resources.State.Health);
        (health.Row.ConfiguredAt, health.Row.ConfigurationFaults) = (Clock.Now, (uint)wanted.Faults);
    }
}
