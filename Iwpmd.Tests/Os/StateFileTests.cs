// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Native;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed unsafe class StateFileTests : IDisposable
{
    private const int Capacity = 1 << 20;

    private readonly TemporaryDirectory _temporary = new();
    private readonly List<StateFile> _open = [];

    private string Directory => _temporary["iwpmd"];

    private string FilePath => Path.Combine(Directory, "state");

    public void Dispose()
    {
        _open.ForEach(file => file.Dispose());
        _temporary.Dispose();
    }

    [Fact]
    public void A_new_file_is_all_zeros_of_the_wanted_size_and_for_the_owner_alone()
    {
        StateFile file = Open();
        Assert.Equal((0L, (nuint)Capacity), (file.ExistingLength, file.Length));
        Assert.Equal(-1, Content(file).IndexOfAnyExcept((byte)0));
        Libc.statx status;
        TestLibc.Succeed(Libc.statx_(-1, FilePath, 0, Libc.STATX_BASIC_STATS, &status));
        Assert.Equal(Libc.S_IFREG | 0x180, status.stx_mode); // 0600
        Assert.Equal(Capacity, new FileInfo(FilePath).Length);
    }

    [Fact]
    public void Content_survives_its_process_and_growth()
    {
        using (StateFile first = Open(dispose: false))
        {
            Content(first).Fill(0x5a);
        }
        StateFile second = Open(2 * Capacity);
        Assert.Equal((Capacity, (nuint)(2 * Capacity)), (second.ExistingLength, second.Length));
        Assert.Equal(Capacity, Content(second).IndexOfAnyExcept((byte)0x5a));
        Assert.Equal(-1, Content(second)[Capacity..].IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void A_file_longer_than_wanted_keeps_its_length()
    {
        Open(2 * Capacity, dispose: false).Dispose();
        StateFile file = Open(Capacity);
        Assert.Equal((2 * Capacity, (nuint)(2 * Capacity)), (file.ExistingLength, file.Length));
    }

    [Fact]
    public void A_second_opener_is_told_that_it_is_held()
    {
        StateFile first = Open();
        Content(first)[7] = 1;
        AssertRefused(Errno.EAGAIN, "lock");
        Assert.Equal(1, Content(first)[7]);
    }

    [Fact]
    public void Clearing_leaves_zeros_at_the_same_address_and_gives_the_memory_back()
    {
        StateFile file = Open();
        nint address = file.Address;
        Content(file).Fill(0x5a);
        Assert.Equal(Capacity / 1024, ResidentKilobytes(file));
        Assert.Equal(Errno.None, file.Clear());
        Assert.Equal(0, ResidentKilobytes(file));
        Assert.True(address == file.Address);
        Assert.Equal(-1, Content(file).IndexOfAnyExcept((byte)0));
        Assert.Equal(Capacity, new FileInfo(FilePath).Length);
    }

    [Fact]
    public void Of_a_new_file_the_parts_that_come_first_are_set_aside_first() => OnTmpfs("2m", () =>
    {
        FileRange[] first = [new(0, 5000), new(Capacity / 2, 100), new(Capacity - 100, 100)];
        Assert.Null(StateFile.TryOpen(Directory, Limits.UserId, Capacity, first, out StateFile? file));
        using StateFile opened = file!;
        Assert.Equal(
            (Capacity, (nuint)Capacity, 4 * 4096), (new FileInfo(FilePath).Length, opened.Length, Preallocate()));
        Content(opened)[4999] = Content(opened)[Capacity / 2] = Content(opened)[^1] = 0x5a;
        Assert.Equal(Errno.None, opened.PreallocateRest());
        Assert.Equal(Capacity, Preallocate());
        Assert.Equal(Capacity - 3, Content(opened).Count((byte)0));
    });

    [Fact]
    public void All_of_a_file_is_set_aside_at_once_where_there_is_no_room_for_it_or_it_was_there() =>
        OnTmpfs("512k", () =>
    {
        FileRange[] first = [new(0, 1), new(Capacity - 1, 1)];
        Assert.Equal(
            new OpError("fallocate", Errno.ENOSPC),
            StateFile.TryOpen(Directory, Limits.UserId, Capacity, first, out _));
        File.WriteAllText(FilePath, "a");
        Assert.Null(StateFile.TryOpen(Directory, Limits.UserId, 256 * 1024, first, out StateFile? file));
        file!.Dispose();
        Assert.Equal(256 * 1024, Preallocate());
    });

    [Fact]
    public void Room_that_another_took_meanwhile_is_an_error() => OnTmpfs("2m", () =>
    {
        FileRange[] first = [new(0, 1), new(Capacity - 1, 1)];
        Assert.Null(StateFile.TryOpen(Directory, Limits.UserId, Capacity, first, out StateFile? file));
        using StateFile opened = file!;
        File.WriteAllBytes(Path.Combine(Directory, "other"), new byte[(2 << 20) - (16 * 4096)]);
        Assert.Equal(Errno.ENOSPC, opened.PreallocateRest());
    });

    [Fact]
    public void Another_user_s_file_is_refused_and_left_as_it_is()
    {
        System.IO.Directory.CreateDirectory(Directory);
        File.WriteAllText(FilePath, "theirs");
        TestLibc.Succeed(TestLibc.chown(FilePath, 1, 1));
        AssertRefused(Errno.EPERM, "owner");
        Assert.Equal("theirs", File.ReadAllText(FilePath));
    }

    [Fact]
    public void Root_takes_the_file_of_the_daemons_user_and_makes_a_new_one_his()
    {
        const uint User = 4711;
        System.IO.Directory.CreateDirectory(Directory);
        Tool.Run("chmod", "coreutils", "711", _temporary.Path);
        TestLibc.Succeed(TestLibc.chown(Directory, User, User));
        for (int i = 0; i < 2; i++)
        {
            Assert.Null(StateFile.TryOpen(Directory, User, Capacity, [], out StateFile? file));
            using StateFile opened = file!;
            Assert.Equal((User, i * Capacity), (opened.Owner, opened.ExistingLength));
        }
        AssertRefused(Errno.EPERM, "owner");
    }

    [Fact]
    public void A_pipe_is_refused()
    {
        System.IO.Directory.CreateDirectory(Directory);
        TestLibc.Succeed(TestLibc.mkfifo(FilePath, 0x180));
        AssertRefused(Errno.EINVAL, "type");
    }

    [Fact]
    public void A_symbolic_link_is_refused()
    {
        System.IO.Directory.CreateDirectory(Directory);
        File.WriteAllText(_temporary["elsewhere"], "theirs");
        File.CreateSymbolicLink(FilePath, _temporary["elsewhere"]);
        AssertRefused(Errno.ELOOP, "open");
        Assert.Equal("theirs", File.ReadAllText(_temporary["elsewhere"]));
    }

    [Fact]
    public void A_directory_that_cannot_be_made_says_so()
    {
        OpError? error = StateFile.TryOpen(_temporary["no/iwpmd"], Limits.UserId, Capacity, [], out StateFile? file);
        Assert.Equal(new OpError("mkdir", Errno.ENOENT), error);
        Assert.Null(file);
    }

    [Fact]
    public void A_full_file_system_is_found_out_before_the_first_touch() => OnTmpfs("512k", () =>
    {
        AssertRefused(Errno.ENOSPC, "fallocate");
        using StateFile small = Open(256 * 1024, dispose: false);
        Content(small).Fill(1);
        Assert.Equal(Errno.None, small.Clear());
        Assert.Equal(-1, Content(small).IndexOfAnyExcept((byte)0));
    });

    [Fact]
    public void Without_a_file_there_is_memory_that_begins_as_zeros()
    {
        Assert.Equal(Errno.None, StateFile.TryMapAnonymous(1 << 20, out nint address));
        var content = new Span<byte>((byte*)address, 1 << 20);
        Assert.Equal(-1, content.IndexOfAnyExcept((byte)0));
        content.Fill(1);
        Assert.Equal(0, Libc.munmap(address, 1 << 20));
    }

    private void OnTmpfs(string size, Action act) => OwnThread.Run(() =>
    {
        System.IO.Directory.CreateDirectory(Directory);
        TestLibc.Succeed(TestLibc.unshare(TestLibc.CLONE_NEWNS));
        TestLibc.Succeed(TestLibc.mount("none", "/", null, TestLibc.MS_REC | TestLibc.MS_PRIVATE, null));
        TestLibc.Succeed(TestLibc.mount("tmpfs", Directory, "tmpfs", 0, "size=" + size));
        act();
    });

    /// <summary>Bytes that the file has of its file system.</summary>
    private int Preallocate() =>
        512 * int.Parse(Tool.Run("stat", "stat", "--format=%b", FilePath), CultureInfo.InvariantCulture);

    private static Span<byte> Content(StateFile file) => new((byte*)file.Address, (int)file.Length);

    private static int ResidentKilobytes(StateFile file)
    {
        string start = file.Address.ToString("x", CultureInfo.InvariantCulture) + "-";
        string line =
            File.ReadLines("/proc/self/smaps").SkipWhile(l => !l.StartsWith(start, StringComparison.Ordinal)).First(
                l => l.StartsWith("Rss:", StringComparison.Ordinal));
        return int.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    private void AssertRefused(Errno expected, string operation)
    {
        OpError? error = StateFile.TryOpen(Directory, Limits.UserId, Capacity, [], out StateFile? file);
        Assert.Equal(new OpError(operation, expected), error);
        Assert.Null(file);
    }

    private StateFile Open(long capacity = Capacity, bool dispose = true)
    {
        Assert.Null(StateFile.TryOpen(Directory, Limits.UserId, capacity, [], out StateFile? file));
        _open.AddRange(dispose ? [file!] : []);
        return file!;
    }
}
