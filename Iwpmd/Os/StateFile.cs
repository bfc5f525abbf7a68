// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>A part of a file, in bytes.</summary>
internal readonly record struct FileRange(long At, long Length);

/// <summary>
/// The file <c>state</c> in the daemon's state directory as shared memory: one opener at a time, its space set aside,
/// its content as it was left. It must not know what stands in it.
/// </summary>
internal sealed unsafe class StateFile : IDisposable
{
    private const uint DirectoryMode = 0x1ed, FileMode = 0x180; // 0755, 0600

    private const string Name = "state", NewName = "state.new";

    private bool _isPartial;

    private static int OpenFlags => Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC | Libc.O_NOFOLLOW;

    private StateFile(int fd, nint address, long length, long existingLength)
    {
        Fd = fd;
        Address = address;
        Length = (nuint)length;
        ExistingLength = existingLength;
    }

    public int Fd { get; }

    public nint Address { get; }

    public nuint Length { get; }

    /// <summary>Bytes that were there when it was opened; 0 when it is new.</summary>
    public long ExistingLength { get; }

    /// <summary>What was there.</summary>
    public ReadOnlySpan<byte> Existing => new((void*)Address, checked((int)ExistingLength));

    /// <summary>
    /// Maps <paramref name="capacityBytes"/>, or more when the file is longer. <see cref="Errno.EAGAIN"/> of the
    /// operation "lock": another process has it open. "owner" and "type": it is not ours, or not a plain file, and is
    /// left as it is.
    /// </summary>
    /// <param name="first">
    /// Of a new file only these parts are set aside, if any, as long as there is room for all of it; the last of them
    /// reaches to its end. The others must not be touched before <see cref="PreallocateRest"/>.
    /// </param>
    /// <param name="user">With whose rights: as root it may be another's, and a new one becomes his.</param>
    public static OpError? TryOpen(
        string directory, uint user, long capacityBytes, ReadOnlySpan<FileRange> first, out StateFile? file)
    {
        file = null;
        using var rights = new FileRights(user);
        if (Libc.mkdir(directory, DirectoryMode) != 0 && Errno.Last is var failure && failure != Errno.EEXIST)
        {
            return new OpError("mkdir", failure);
        }
        int fd = Libc.open(Path.Combine(directory, Name), OpenFlags, FileMode);
        if (fd < 0)
        {
            return OpError.Of("open");
        }
        return Secure(fd, user, out long existing) is OpError fault
            ? Closed(fd, fault)
            : Map(fd, Math.Max(existing, capacityBytes), existing, existing == 0 ? first : [], out file);
    }

    /// <summary>Maps a file that another process has open, and its lock with it.</summary>
    public static OpError? TryAdopt(int fd, out StateFile? file)
    {
        file = null;
        Errno error = FileStatus.Read(fd, out Libc.statx status);
        return error != Errno.None
            ? Closed(fd, new OpError("statx", error))
            : Map(fd, (long)status.stx_size, (long)status.stx_size, [], out file);
    }

    /// <summary>
    /// A new file beside the one that is there; <see cref="Replace"/> puts it in that one's place, in one step.
    /// </summary>
    public static OpError? TryCreateBeside(string directory, uint user, long bytes, out StateFile? file)
    {
        file = null;
        using var rights = new FileRights(user);
        string path = Path.Combine(directory, NewName);
        _ = Libc.unlink(path); // of a start that did not come to its end
        int fd = Libc.open(path, OpenFlags | Libc.O_EXCL, FileMode);
        if (fd < 0)
        {
            return OpError.Of("open");
        }
        return Secure(fd, user, out _) is OpError fault ? Closed(fd, fault) : Map(fd, bytes, 0, [], out file);
    }

    /// <summary>
    /// All that was not set aside when the file was made. Only when another took the room in between does it fail; then
    /// nothing more of it must be touched.
    /// </summary>
    public Errno PreallocateRest()
    {
        Errno error = _isPartial ? Preallocate(Fd, [new FileRange(0, (long)Length)]) : Errno.None;
        _isPartial &= error != Errno.None;
        return error;
    }

    public static OpError? Replace(string directory, uint user)
    {
        using var rights = new FileRights(user);
        return Libc.rename(Path.Combine(directory, NewName), Path.Combine(directory, Name)) != 0
            ? OpError.Of("rename")
            : null;
    }

    /// <summary>Whose the file is now: root can give it to another user while we have it open.</summary>
    public uint Owner => FileStatus.Read(Fd, out Libc.statx status) == Errno.None ? status.stx_uid : Limits.UserId;

    /// <summary>
    /// Turns the whole content into zeros by giving its pages back, so that those nobody touches again cost no memory.
    /// The file is never shorter meanwhile: that would be a SIGBUS in a process that reads it.
    /// </summary>
    public Errno Clear()
    {
        if (Libc.fallocate(Fd, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, 0, (nint)Length) != 0)
        {
            new Span<byte>((byte*)Address, checked((int)Length)).Clear(); // a file system that cannot
            return Errno.None;
        }
        return (Errno)Libc.posix_fallocate(Fd, 0, (nint)Length);
    }

    /// <summary>
    /// Memory in the place of a file, for as long as the process lives; it costs nothing until it is touched.
    /// </summary>
    public static Errno TryMapAnonymous(long length, out nint address)
    {
        address = Libc.mmap(
            0, (nuint)length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        return address == -1 ? Errno.Last : Errno.None;
    }

    public void Dispose()
    {
        _ = Libc.munmap(Address, Length);
        _ = Libc.close(Fd);
    }

    private static OpError? Secure(int fd, uint user, out long existing)
    {
        existing = 0;
        if (Libc.flock(fd, Libc.LOCK_EX | Libc.LOCK_NB) != 0)
        {
            return OpError.Of("lock");
        }
        if (FileStatus.ReadPlain(fd, out Libc.statx status) is OpError error)
        {
            return error;
        }
        if (status.stx_uid != Limits.UserId && status.stx_uid != user)
        {
            return new OpError("owner", Errno.EPERM);
        }
        existing = (long)status.stx_size;
        return Libc.fchmod(fd, FileMode) != 0 ? OpError.Of("chmod") : null;
    }

    private static OpError? Map(
        int fd, long length, long existing, ReadOnlySpan<FileRange> first, out StateFile? file)
    {
        file = null;
        bool isPartial = first.Length > 0 && FileStatus.HasMemoryFor(fd, length);
        Errno error = Preallocate(fd, isPartial ? first : [new FileRange(0, length)]);
        if (error != Errno.None)
        {
            return Closed(fd, new OpError("fallocate", error));
        }
        nint address = Libc.mmap(0, (nuint)length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED, fd, 0);
        if (address == -1)
        {
            return Closed(fd, OpError.Of("mmap"));
        }
        file = new StateFile(fd, address, length, existing) { _isPartial = isPartial };
        return null;
    }

    /// <summary>A hole that finds no space when it is first touched is a SIGBUS.</summary>
    private static Errno Preallocate(int fd, ReadOnlySpan<FileRange> parts)
    {
        Errno error = Errno.None;
        for (int i = 0; i < parts.Length && error == Errno.None; i++)
        {
            error = (Errno)Libc.posix_fallocate(fd, (nint)parts[i].At, (nint)parts[i].Length);
        }
        return error;
    }

    private static OpError Closed(int fd, OpError error)
    {
        _ = Libc.close(fd);
        return error;
    }
}
