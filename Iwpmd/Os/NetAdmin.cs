// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Gives CAP_NET_ADMIN up, which only the start needs. Capabilities belong to threads, each of which can lower its own
/// alone, and a new thread has those of the one that makes it. So: the calling thread; the finalizer's, which the
/// runtime makes before Main, does it as it begins (threads.c); whoever makes a thread meanwhile does it by
/// <see cref="Without"/>.
/// </summary>
internal static unsafe class NetAdmin
{
    /// <summary>For good, in this thread.</summary>
    public static Errno GiveUp()
    {
        const uint Bit = 1u << Libc.CAP_NET_ADMIN;
        var header = new Libc.__user_cap_header_struct { version = Libc._LINUX_CAPABILITY_VERSION_3 };
        Libc.__user_cap_data_struct* data = stackalloc Libc.__user_cap_data_struct[2];
        if (Libc.syscall(Libc.SYS_capget, (nint)(&header), (nint)data, null) != 0)
        {
            return Errno.Last;
        }
        data[0].effective &= ~Bit;
        data[0].permitted &= ~Bit;
        data[0].inheritable &= ~Bit; // and so no longer among the ambient ones
        return Libc.syscall(Libc.SYS_capset, (nint)(&header), (nint)data, null) != 0 ? Errno.Last : Errno.None;
    }

    /// <summary>What is created has no thread with the capability.</summary>
    public static T Without<T>(Func<T> create)
    {
        T result = default!;
        var maker = new Thread(() =>
        {
            _ = GiveUp();
            result = create();
        });
        maker.Start();
        maker.Join();
        return result;
    }
}
