// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>
/// A small file of /proc/sys, kept open and looked at again and again: a look is one pread, and makes nothing as long
/// as the content is the same.
/// </summary>
internal sealed unsafe class WatchedFile(string path)
{
    private const int FirstSize = 4096, LastSize = 512 * 1024; // 32768 reserved ports have 191 KB

    private readonly int _fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
    private byte[] _last = new byte[FirstSize], _now = new byte[FirstSize];
    private int _lastLength = -1;

    /// <summary>True when the content is another than at the last look.</summary>
    public bool HasChanged()
    {
        int length = Read();
        // the kernel cuts such a list to the buffer, and has no more at a later offset
        while (length == _now.Length && length < LastSize)
        {
            (_last, _now) = (new byte[2 * length], new byte[2 * length]);
            _lastLength = -1;
            length = Read();
        }
        if (length < 0 || (length == _lastLength && _now.AsSpan(0, length).SequenceEqual(_last.AsSpan(0, length))))
        {
            return false;
        }
        (_last, _now) = (_now, _last);
        _lastLength = length;
        return true;
    }

    /// <summary>As it was at the last look; null when it could never be read.</summary>
    public string? Text => _lastLength < 0 ? null : Encoding.ASCII.GetString(_last, 0, _lastLength).Trim();

    private int Read()
    {
        fixed (byte* bytes = _now)
        {
            return _fd < 0 ? -1 : (int)Libc.pread(_fd, bytes, (nuint)_now.Length, 0);
        }
    }
}
