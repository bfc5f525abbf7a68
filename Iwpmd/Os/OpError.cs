// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>The step of several that failed, and why.</summary>
internal readonly record struct OpError(string Operation, Errno Errno)
{
    /// <summary>That of <see cref="LastErrno"/>.</summary>
    public static OpError Of(string operation) => new(operation, Errno.Last);

    /// <summary>Null when there is no error.</summary>
    public static OpError? Check(string operation, Errno error) =>
        error != Errno.None ? new OpError(operation, error) : null;

    /// <summary>As <c>bind: Address already in use (EADDRINUSE)</c>.</summary>
    public override string ToString() => $"{Operation}: {Errno.Text()}";
}
