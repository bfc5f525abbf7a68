// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>What came from outside does not steer the terminal, nor pass for a line of ours.</summary>
public class PrintableTests
{
    [Theory]
    [InlineData("plain text, 10.0.0.1:5000 -> \u00e4\u20ac", null)]
    [InlineData("", null)]
    [InlineData("a\u001b[31mb", "a\\x1b[31mb")]
    [InlineData("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00")]
    [InlineData("\u007f\u009b31m", "\\x7f\\x9b31m")]
    [InlineData("a\u2028b\u202ec\u2066d\u200f", "a\\u2028b\\u202ec\\u2066d\\u200f")]
    public void What_steers_a_terminal_is_shown_and_not_sent(string text, string? expected) =>
        Assert.Equal(expected ?? text, Printable.Of(text));

    [Fact]
    public void A_line_of_the_log_ends_with_the_number_of_its_event()
    {
        Assert.Equal("daemon: ready (event 502)", LogLine.Of(new EventId(502), "daemon: ready", null));
        Assert.StartsWith(
            "a\\x0ab: System.IO.IOException: c", LogLine.Of(new EventId(7), "a\nb", new IOException("c")));
    }
}
