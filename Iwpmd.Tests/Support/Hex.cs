// SPDX-License-Identifier: MIT
namespace Iwpmd.Tests.Support;

/// <summary>Bytes as people write them.</summary>
internal static class Hex
{
    /// <summary>"04 00 a001" as bytes; white space means nothing.</summary>
    public static byte[] Bytes(string text) =>
        Convert.FromHexString(string.Concat(text.Where(c => !char.IsWhiteSpace(c))));

    /// <summary>Lower case, no blanks.</summary>
    public static string Text(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(bytes);

    /// <summary>A buffer that shows which of its bytes were never written.</summary>
    public static byte[] Dirty(int size)
    {
        var bytes = new byte[size];
        bytes.AsSpan().Fill(0xa5);
        return bytes;
    }
}
