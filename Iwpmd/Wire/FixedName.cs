// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;

namespace Iwpmd.Wire;

/// <summary>
/// A device, interface or library name of at most 31 bytes, held in place: as the kernel sends it, and as it stands in
/// the state file.
/// </summary>
internal struct FixedName : IEquatable<FixedName>
{
    public const int Capacity = 32; // with the terminating NUL

    private Storage _bytes;

    public FixedName(ReadOnlySpan<byte> text) => text[..Math.Min(text.Length, Capacity - 1)].CopyTo(_bytes);

    public FixedName(string text)
        : this(Encoding.UTF8.GetBytes(text))
    {
    }

    [UnscopedRef]
    public readonly ReadOnlySpan<byte> Text
    {
        get
        {
            ReadOnlySpan<byte> bytes = _bytes;
            int end = bytes.IndexOf((byte)0);
            return end < 0 ? bytes : bytes[..end];
        }
    }

    public readonly bool Equals(FixedName other) => Text.SequenceEqual(other.Text);

    public override readonly bool Equals(object? obj) => obj is FixedName other && Equals(other);

    public override readonly int GetHashCode() => Text.Length;

    public override readonly string ToString() => Encoding.UTF8.GetString(Text);

    [InlineArray(Capacity)]
    private struct Storage
    {
        private byte _first;
    }
}
