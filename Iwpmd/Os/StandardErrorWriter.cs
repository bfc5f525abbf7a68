// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Writes to stderr and does nothing else. That of the runtime sets the terminal up at the first line, and again
/// whenever the process was suspended and continues.
/// </summary>
internal sealed unsafe class StandardErrorWriter : TextWriter
{
    private const int Stderr = 2;

    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value) => Write(value.ToString());

    public override void Write(string? value)
    {
        byte[] bytes = Encoding.GetBytes(value ?? "");
        fixed (byte* first = bytes)
        {
            int written = 0;
            while (written < bytes.Length)
            {
                nint count = Libc.write(Stderr, first + written, (nuint)(bytes.Length - written));
                Errno error = count < 0 ? Errno.Last : Errno.None;
                if (error == Errno.EAGAIN)
                {
                    _ = SocketFd.WaitWritable(Stderr, TimeSpan.FromSeconds(1));
                }
                else if (error is not (Errno.None or Errno.EINTR))
                {
                    return; // nobody reads it
                }
                written += (int)Math.Max(count, 0);
            }
        }
    }
}
