// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Finds the state that this daemon continues with: that of an earlier one, unchanged or migrated, else a new one.
/// Without a file it is in the memory of the process. It does not know how the earlier process ended.
/// </summary>
internal sealed class StateLoader(Configuration configuration, Guid bootId, ILogger log) : IDisposable
{
    private readonly StateIdentity _identity = new(bootId, new FixedName(BuildInfo.Version));

    /// <summary>Null when the state is not in a file.</summary>
    public StateFile? File { get; private set; }

    /// <summary>Whether it is that of an earlier daemon.</summary>
    public StateOrigin Origin { get; private set; } = StateOrigin.Fresh;

    private string Directory => configuration.StateDirectory;

    /// <summary>
    /// Root continues what the daemon of this user left in his directory, and leaves it to the next one.
    /// </summary>
    private readonly uint _user = UserOf(configuration.StateDirectory);

    private string FilePath => Path.Combine(Directory, "state");

    /// <summary>
    /// Prepares to continue with a file that another process has open: null, or why that is not possible. The file is
    /// not changed before <see cref="Open"/>.
    /// </summary>
    public string? TryAdopt(int fd)
    {
        OpError? error = StateFile.TryAdopt(fd, out StateFile? file);
        File = file;
        StateGeometry geometry = default;
        string? problem = file is null ? $"{error}"
            : StateLayout.WhyUnusable(file.Existing, bootId, out geometry);
        bool isReloaded = problem is null
            && StateMigration.TryReadHealth(file!.Existing, geometry, out HealthRow health)
            && health.ConfiguredAt > configuration.ReadAt;
        return isReloaded ? "the configuration was reloaded after this daemon had read it: start it again" : problem;
    }

    /// <exception cref="SetupException">Another daemon has the file, or there is no memory.</exception>
    public StateLayout Open()
    {
        StateCapacity capacity = StateCapacity.For(configuration.MaxMappings);
        if (File is null && !TryOpenFile(capacity))
        {
            return InMemory(capacity);
        }
        string? problem = StateLayout.WhyUnusable(File!.Existing, bootId, out StateGeometry geometry);
        return problem is null
            ? Continue(geometry, capacity)
            : Renew(capacity, File.ExistingLength == 0 ? "it is new" : problem);
    }

    public void Dispose() => File?.Dispose();

    private bool TryOpenFile(StateCapacity capacity)
    {
        StateGeometry geometry = StateLayout.GeometryOf(capacity);
        // The parts of a new state that are written before it has a row; the rest, some milliseconds, after HELLO.
        ReadOnlySpan<FileRange> first =
        [
            new(0, geometry.MappingsAt + geometry.MappingSize),
            new(geometry.ConversationsAt, geometry.ConversationSize),
            new(geometry.PeersAt, geometry.Length - geometry.PeersAt),
        ];
        StateFile? file = null;
        OpError? failed = IsTrusted(_user)
            ? StateFile.TryOpen(Directory, _user, geometry.Length, first, out file)
            : new OpError("state_dir", Errno.EPERM);
        if (failed is { Errno: Errno.EAGAIN, Operation: "lock" })
        {
            throw new SetupException(
                ExitStatus.Failure,
                $"state: {FilePath} is in use: another iwpmd runs on this host: stop it first, or take over from it "
                    + "(--takeover)");
        }
        File = file;
        if (failed is OpError error)
        {
            ReportUnavailable(error);
        }
        return file is not null;
    }

    /// <summary>
    /// Another max_mappings or another version has another geometry. It never has fewer rows than there are mappings.
    /// </summary>
    private StateLayout Continue(in StateGeometry geometry, StateCapacity capacity)
    {
        Origin = StateOrigin.Restored;
        if (geometry != StateLayout.GeometryOf(capacity))
        {
            capacity = StateCapacity.For(
                Math.Max(configuration.MaxMappings, StateMigration.CountMappings(File!.Existing, geometry)));
        }
        if (geometry != StateLayout.GeometryOf(capacity))
        {
            return Convert(geometry, capacity);
        }
        var state = new StateLayout(File!.Address, capacity);
        Log.StateRestored(log, FilePath, state.Header.Build);
        state.Header.Build = _identity.Build;
        return state;
    }

    /// <summary>
    /// Into a new file, which replaces the old one when it is complete: a process that ends in between loses nothing.
    /// </summary>
    private StateLayout Convert(in StateGeometry geometry, StateCapacity capacity)
    {
        StateFile old = File!;
        var previous = new StateLayout(old.Address, capacity);
        OpError? failed =
            StateFile.TryCreateBeside(Directory, _user, StateLayout.SizeOf(capacity), out StateFile? fresh);
        StateLayout state = fresh is null ? InMemory(capacity) : new StateLayout(fresh.Address, capacity);
        if (fresh is not null)
        {
            state.Format(_identity);
        }
        int dropped = StateMigration.Adopt(old.Existing, geometry, state);
        if (dropped > 0)
        {
            Log.StateRowsDropped(log, dropped);
        }
        Log.StateConverted(log, FilePath, previous.Header.Build, (int)state.Header.MappingsHighWater);
        failed ??= StateFile.Replace(Directory, _user);
        if (failed is OpError error)
        {
            ReportUnavailable(error);
            previous.Invalidate(); // from now on it is out of date
        }
        old.Dispose();
        File = fresh;
        return state;
    }

    private StateLayout Renew(StateCapacity capacity, string problem)
    {
        Log.StateFresh(log, FilePath, problem);
        Errno error = File!.ExistingLength == 0 ? Errno.None : File.Clear();
        if (error != Errno.None)
        {
            ReportUnavailable(new OpError("clear", error));
            return InMemory(capacity);
        }
        var state = new StateLayout(File.Address, capacity) { IsNew = true };
        state.Format(_identity);
        return state;
    }

    /// <summary>Whose rights to files are used in the directory.</summary>
    public static uint UserOf(string directory) =>
        Limits.UserId == 0 ? FileStatus.FirstOwner(directory) : Limits.UserId;

    /// <summary>As root: it is root's way, or that of the daemon's user.</summary>
    private static bool IsTrusted(uint user) => user == Limits.UserId
        || (PrivilegeDrop.TryFind(PrivilegeDrop.User, out uint daemons, out _) && user == daemons);

    private void ReportUnavailable(OpError error)
    {
        string remedy = (error.Operation, error.Errno) switch
        {
            ("owner" or "type" or "size", _) or ("open", Errno.ELOOP or Errno.EISDIR) => "remove it",
            (_, Errno.EROFS or Errno.ENOENT) => "set state_dir to a directory that can be written to",
            (_, Errno.ENOSPC or Errno.EDQUOT) => "make room, or set state_dir",
            _ => $"let state_dir be a directory of user {Limits.UserId}, no link",
        };
        Log.StateUnavailable(log, FilePath, error.Operation, error.Errno.Text(), remedy);
    }

    private StateLayout InMemory(StateCapacity capacity)
    {
        Errno error = StateFile.TryMapAnonymous(StateLayout.SizeOf(capacity), out nint memory);
        if (error != Errno.None)
        {
            throw new SetupException(ExitStatus.Failure, $"state: mmap failed: {error.Text()}: lower max_mappings");
        }
        var state = new StateLayout(memory, capacity);
        state.Format(_identity);
        return state;
    }
}
