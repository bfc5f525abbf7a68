// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The notifications to the service manager while the daemon runs: ready, watchdog, and one line of status.
/// </summary>
internal sealed class ServiceStatus(
    SystemdNotify notify, ReadyPipe? readyPipe, PortMapper mapper, PortPolicy policy, DaemonResources resources,
    ILogger log)
{
    /// <summary>
    /// The least time between two lines of status, however fast the mappings change: each is work for the manager and
    /// its clients.
    /// </summary>
    private static readonly TimeSpan s_statusPause = TimeSpan.FromSeconds(1);

    private string _status = "";
    private TimeSpan _watchdogAt, _statusAt;
    private bool _isReady;

    /// <summary>At every wake-up. Returns the latest time of the next call.</summary>
    public TimeSpan Update(TimeSpan now)
    {
        if (!_isReady && mapper.Kernel == HandshakeState.Ready)
        {
            ReportReady();
        }
        TimeSpan next = now + EventLoop.Tick;
        if (!notify.IsActive)
        {
            return next;
        }
        if (notify.WatchdogInterval is TimeSpan interval)
        {
            if (now >= _watchdogAt)
            {
                Notify("WATCHDOG=1");
                _watchdogAt = now + interval;
            }
            next = _watchdogAt < next ? _watchdogAt : next;
        }
        if (now >= _statusAt)
        {
            _statusAt = now + s_statusPause;
            string status = _isReady
                ? Describe(resources.State.Health, mapper.Mappings.Count, now)
                : "waiting for the kernel's replay";
            if (status != _status)
            {
                _status = status;
                Notify($"STATUS={status}");
            }
        }
        return next;
    }

    /// <summary>Whether it serves, and its faults, without times: the line is sent when it has changed.</summary>
    public static string Describe(in HealthRow health, int mappings, TimeSpan now)
    {
        string problem =
            health.Unprotected > 0 ? $"{health.Unprotected} unprotected: their ports are in use by other programs" : "";
        foreach (LossWords words in LossWords.All)
        {
            LossRow loss = health.Losses[(int)words.Cause];
            if (problem.Length == 0 && loss.IsRecent(now))
            {
                problem = $"{words.Describe(loss.Count)}: {words.Reason}: {words.Remedy}";
            }
        }
        return problem.Length == 0
            ? $"serving {mappings} mappings"
            : $"degraded: serving {mappings} mappings, {problem}";
    }

    private void ReportReady()
    {
        _isReady = true;
        Log.Ready(log, mapper.Mappings.Count, policy.Range.Low, policy.Range.High, resources.Heartbeat.PortId);
        Errno error = notify.SendSurely("READY=1");
        if (error != Errno.None)
        {
            Log.NotifyFailed(log, error.Text());
        }
        readyPipe?.ReportReady();
    }

    private void Notify(string line)
    {
        Errno error = notify.Send(line);
        if (error != Errno.None)
        {
            Log.NotifyFailed(log, error.Text());
        }
    }
}
