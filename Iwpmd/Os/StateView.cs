// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// The state file of a daemon, looked at by somebody else: mapped read-only, without a lock and without a word to the
/// daemon. It must not know what stands in it.
/// </summary>
internal sealed unsafe class StateView : IDisposable
{
    private readonly Libc.statx _status;

    private readonly nint _address;

    private StateView(nint address, Libc.statx status) => (_address, _status) = (address, status);

    public ReadOnlySpan<byte> Bytes => new((void*)_address, checked((int)_status.stx_size));

    /// <summary>The process that has the file as its daemon, as far as it is shown; not for free.</summary>
    public int FindHolder() => FileLocks.FindHolder(_status.stx_dev_major, _status.stx_dev_minor, _status.stx_ino);

    public static OpError? TryOpen(string path, out StateView? view)
    {
        view = null;
        int fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NOFOLLOW | Libc.O_NONBLOCK, 0);
        if (fd < 0)
        {
            return OpError.Of("open");
        }
        OpError? error = Map(fd, out view);
        _ = Libc.close(fd);
        return error;
    }

    public void Dispose() => _ = Libc.munmap(_address, (nuint)_status.stx_size);

    private static OpError? Map(int fd, out StateView? view)
    {
        view = null;
        if (FileStatus.ReadPlain(fd, out Libc.statx status) is OpError error)
        {
            return error;
        }
        nint address = Libc.mmap(0, (nuint)status.stx_size, Libc.PROT_READ, Libc.MAP_SHARED, fd, 0);
        if (address == -1)
        {
            return OpError.Of("mmap"); // an empty file, too
        }
        view = new StateView(address, status);
        return null;
    }
}
