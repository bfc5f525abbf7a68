// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    /// <summary>Returns 0, or a number that is no errno.</summary>
    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int getaddrinfo(string node, byte* service, addrinfo* hints, addrinfo** result);

    [LibraryImport(Name)]
    internal static partial void freeaddrinfo(addrinfo* result);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @addrinfo
    {
        public int ai_flags, ai_family, ai_socktype, ai_protocol;
        public uint ai_addrlen;
        public byte* ai_addr;
        public byte* ai_canonname;
        public addrinfo* ai_next;
    }
}
