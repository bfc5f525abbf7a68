// SPDX-License-Identifier: MIT
using Iwpmd.Cli;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Os.Interop;
using Iwpmd.State;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>A state file and somebody who looks at it while its daemon lives, is stuck, or is gone.</summary>
public sealed class StateReaderTests : IDisposable
{
    private static readonly StateCapacity Capacity = StateCapacity.For(64);

    private readonly TemporaryDirectory _directory = new();
    private StateFile? _file;
    private readonly StateLayout _state;

    public StateReaderTests()
    {
        Assert.Null(StateFile.TryOpen(
            _directory.Path, Limits.UserId, StateLayout.SizeOf(Capacity), [], out StateFile? file));
        _file = file;
        Assert.True(new HostSettings().TryReadBootId(out Guid boot));
        _state = new StateLayout(_file!.Address, Capacity);
        _state.Format(new StateIdentity(boot, new FixedName("test")));
        (_state.Header.StartedAt, _state.Header.SeenEmptyAt, _state.Header.ProcessId) =
            (Clock.Now, Clock.Now, Environment.ProcessId);
    }

    private string FilePath => _directory["state"];

    public void Dispose()
    {
        Leave();
        _directory.Dispose();
    }

    /// <summary>The daemon is gone.</summary>
    private void Leave()
    {
        _file?.Dispose();
        _file = null;
    }

    private StateReading Read() => new StateReader(_directory.Path).Read();

    private void AddRow(int slot, string local)
    {
        using (var change = new RowChange<MappingRow>(ref _state.Mappings[slot]))
        {
            (change.Row.Local, change.Row.State, change.Row.References) =
                (InetEndpoint.Parse(local), MappingState.Held, 1);
        }
        _state.Header.MappingsHighWater = Math.Max(_state.Header.MappingsHighWater, slot + 1);
    }

    [Fact]
    public void Rows_come_in_the_order_of_their_addresses()
    {
        string[] locals = ["10.0.0.1:80", "10.0.0.1:5000", "10.0.0.2:1", "10.0.0.10:1", "[::]:9", "[fd00::1]:8"];
        for (int i = 0; i < locals.Length; i++)
        {
            AddRow(i, locals[(i * 5) % 6]);
        }
        StateReading reading = Read();

        Assert.Equal((DaemonCondition.Running, Environment.ProcessId), (reading.Condition, reading.ProcessId));
        Assert.Equal(locals, reading.State!.Mappings.ToArray().Select(row => row.Local.ToString()));
    }

    [Fact]
    public void A_daemon_that_looked_at_nothing_for_five_seconds_hangs()
    {
        _state.Header.SeenEmptyAt = Clock.Now - TimeSpan.FromSeconds(6);

        Assert.Equal(DaemonCondition.Hung, Read().Condition);
    }

    [Fact]
    public void Without_its_lock_a_daemon_is_gone_though_its_process_number_is_anothers()
    {
        Leave();
        StateReading dead = Read();

        Assert.Equal((DaemonCondition.Crashed, Environment.ProcessId), (dead.Condition, dead.ProcessId));
        using (StateFile again = Reopen())
        {
            new StateLayout(again.Address, Capacity).Header.EndedAt = Clock.Now;
        }
        Assert.Equal(DaemonCondition.Stopped, Read().Condition);
    }

    /// <summary>Where the lock is not shown, as in a container, its number and name are looked at.</summary>
    [Fact]
    public unsafe void A_daemon_that_waits_for_its_parent_alone_is_gone()
    {
        string program = _directory["iwpmd"];
        File.Copy("/bin/true", program);
        byte** arguments = ArgumentVector.Of([program]);
        int child;
        Assert.Equal(0, Libc.posix_spawn(&child, program, null, null, arguments, arguments));
        ArgumentVector.Free(arguments);
        while (ProcessList.Runs(child))
        {
            Thread.Sleep(1);
        }
        Assert.Equal("iwpmd", ProcessList.NameOf(child));
        _state.Header.ProcessId = child;
        Leave();

        Assert.Equal(DaemonCondition.Crashed, Read().Condition);
        int status;
        Assert.Equal(child, Libc.waitpid(child, &status, 0));
    }

    [Fact]
    public void A_reader_takes_no_lock()
    {
        Leave();
        Assert.Null(StateView.TryOpen(FilePath, out StateView? view));
        using (view)
        {
            _ = view!.FindHolder();
            Reopen().Dispose(); // asserts that it can be had
        }
    }

    [Fact]
    public void No_state_and_one_from_before_the_last_boot_are_no_daemon()
    {
        Assert.Equal(
            (DaemonCondition.Absent, $"there is no {_directory["none"]}/state"),
            (new StateReader(_directory["none"]).Read() is var none ? none.Condition : default, none.Problem));

        _state.Format(new StateIdentity(Guid.NewGuid(), new FixedName("test")));
        StateReading old = Read();
        Assert.Equal(DaemonCondition.Absent, old.Condition);
        Assert.Contains("before the last boot", old.Problem);
    }

    [Fact]
    public void A_state_that_cannot_be_understood_says_why_and_whose_it_is()
    {
        _state.Header.Version++;
        AssertUnreadable("its layout is version 2, this iwpmd has 1: restart the daemon, process");
        _state.Header.Version--;
        _state.Header.MappingSize++;
        AssertUnreadable("its header is damaged");
        _state.Header.MappingSize--;
        _state.Header.Magic++;
        AssertUnreadable("it is not a state of iwpmd");
    }

    [Theory]
    [InlineData(0, "/state is empty: move it away, and start iwpmd")]
    [InlineData(100, "too short")]
    [InlineData(600, "it has 600 bytes of ")]
    public void A_file_that_is_cut_off_is_told(int length, string problem)
    {
        Leave(); // what .NET opens it locks
        byte[] whole = File.ReadAllBytes(FilePath);
        string other = Directory.CreateDirectory(_directory["other"]).FullName;
        File.WriteAllBytes(Path.Combine(other, "state"), whole[..length]);

        StateReading reading = new StateReader(other).Read();
        Assert.Equal(DaemonCondition.Unreadable, reading.Condition);
        Assert.Contains(problem, reading.Problem);
    }

    [Fact]
    public void What_is_no_regular_file_is_told()
    {
        string state = Path.Combine(Directory.CreateDirectory(_directory["other"]).FullName, "state");
        File.CreateSymbolicLink(state, FilePath);
        Assert.Equal($"{state} is a symbolic link: move it away, and start iwpmd", Problem());
        File.Delete(state);
        Directory.CreateDirectory(state);
        Assert.Equal($"{state} is not a regular file: move it away, and start iwpmd", Problem());
        Directory.Delete(state);
        Tool.Run("mkfifo", "coreutils", state);
        Assert.Equal($"{state} is not a regular file: move it away, and start iwpmd", Problem());
        File.Delete(state);
        using (FileStream sparse = File.Create(state))
        {
            sparse.SetLength(1L << 31);
        }
        Assert.Equal($"{state}: size: File too large (EFBIG): move it away, and start iwpmd", Problem());
        Assert.Equal(
            new OpError("size", Errno.EFBIG),
            StateFile.TryOpen(_directory["other"], Limits.UserId, StateLayout.SizeOf(Capacity), [], out _));

        string? Problem() => new StateReader(_directory["other"]).Read().Problem;
    }

    [Fact]
    public void A_file_that_is_replaced_meanwhile_is_read_to_its_end_and_the_next_look_finds_the_new_one()
    {
        AddRow(0, "10.0.0.1:5000");
        Assert.Null(StateView.TryOpen(FilePath, out StateView? view));
        using StateView open = view!;
        File.Delete(FilePath);
        using StateFile fresh = Reopen();
        StateGeometry shape = StateLayout.GeometryOf(Capacity);

        Assert.True(
            StateSnapshot.TryTake(open.Bytes, shape, StateLayout.InMemory(Capacity, default), out StateSnapshot? copy));
        Assert.Equal(1, copy.Mappings.Length);
        Assert.Contains("not a state", Read().Problem);
    }

    [Fact]
    public void A_damaged_row_is_counted_and_left_out()
    {
        AddRow(0, "10.0.0.1:5000");
        AddRow(1, "10.0.0.1:5001");
        _state.Mappings[0].References++; // without a change
        StateReading reading = Read();

        Assert.Equal((1, 1), (reading.State!.Mappings.Length, reading.State.Unreadable));
    }

    private StateFile Reopen()
    {
        Assert.Null(StateFile.TryOpen(
            _directory.Path, Limits.UserId, StateLayout.SizeOf(Capacity), [], out StateFile? file));
        return file!;
    }

    private void AssertUnreadable(string problem)
    {
        StateReading reading = Read();
        Assert.Equal((DaemonCondition.Unreadable, Environment.ProcessId), (reading.Condition, reading.ProcessId));
        Assert.Contains(problem, reading.Problem);
    }
}
