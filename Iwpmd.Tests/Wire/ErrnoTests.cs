// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class ErrnoTests
{
    [Fact]
    public void An_error_reads_as_strerror_and_the_manuals_have_it()
    {
        Errno[] errors = [.. Enum.GetValues<Errno>().Where(error => error != Errno.None)];

        Assert.Equal(
            errors.Select(error => $"{Marshal.GetPInvokeErrorMessage((int)error)} ({error})"),
            errors.Select(error => error.Text()));
        Assert.Equal("Address already in use (EADDRINUSE)", Errno.EADDRINUSE.Text());
        Assert.Equal("errno 4711", ((Errno)4711).Text());
    }
}
