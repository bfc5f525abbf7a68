// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>Standard output could not be written to.</summary>
internal sealed class OutputException(Errno error) : IOException($"stdout: {error.Text()}")
{
    public Errno Error { get; } = error;
}

/// <summary>
/// Standard output; what goes wrong is told, whereas the runtime's own stream takes a closed pipe for success.
/// </summary>
internal sealed unsafe class StandardOutput : Stream
{
    private const int Descriptor = 1;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Waits so long, or until the reader of the pipe is gone: then true.</summary>
    public static bool AwaitClosing(TimeSpan time)
    {
        var output = new Libc.pollfd { fd = Descriptor };
        int ready = Libc.poll(&output, 1, (int)Math.Ceiling(time.TotalMilliseconds));
        return ready > 0 && (output.revents & (Libc.POLLERR | Libc.POLLHUP)) != 0;
    }

    /// <exception cref="OutputException">Not all of it could be written.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        Errno error = TryWrite(Descriptor, buffer);
        if (error != Errno.None)
        {
            throw new OutputException(error);
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>To any descriptor, with patience where it takes nothing just now.</summary>
    public static Errno TryWrite(int fd, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            fixed (byte* first = bytes)
            {
                nint count = Libc.write(fd, first, (nuint)bytes.Length);
                Errno error = count < 0 ? Errno.Last : Errno.None;
                if (error == Errno.EAGAIN)
                {
                    var output = new Libc.pollfd { fd = fd, events = Libc.POLLOUT };
                    _ = Libc.poll(&output, 1, -1);
                }
                else if (error is not (Errno.None or Errno.EINTR))
                {
                    return error;
                }
                bytes = bytes[(int)Math.Max(count, 0)..];
            }
        }
        return Errno.None;
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
