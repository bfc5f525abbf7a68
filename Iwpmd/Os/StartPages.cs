// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>
/// The pages of the executable that only the start needs: most of the memory in use afterwards, since each page fault
/// maps 64 KB. What is needed again comes back from the page cache.
/// </summary>
internal static unsafe class StartPages
{
    // Elf64_Phdr in words of 8 bytes: 0 type and flags (u32 each)  2 virtual address  5 size in memory
    private const int HeaderWords = 7, AddressAt = 2, SizeAt = 5;

    public static void LetGo()
    {
        var all = new ReadOnlySpan<ulong>(
            (void*)Libc.getauxval(Libc.AT_PHDR), (int)Libc.getauxval(Libc.AT_PHNUM) * HeaderWords);
        ulong loadedAt = 0; // a static executable is where it says
        for (ReadOnlySpan<ulong> rest = all; !rest.IsEmpty; rest = rest[HeaderWords..])
        {
            (uint type, uint flags) = ((uint)rest[0], (uint)(rest[0] >> 32));
            if (type == Libc.PT_PHDR)
            {
                loadedAt = Libc.getauxval(Libc.AT_PHDR) - rest[AddressAt];
            }
            else if (type == Libc.PT_LOAD && (flags & Libc.PF_W) == 0) // written ones would be lost
            {
                ulong page = (ulong)Environment.SystemPageSize, address = loadedAt + rest[AddressAt];
                ulong start = address & ~(page - 1);
                _ = Libc.madvise((nint)start, (nuint)(address + rest[SizeAt] - start), Libc.MADV_DONTNEED);
            }
        }
    }
}
