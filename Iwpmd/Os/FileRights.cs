// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>
/// Until its end this thread has the rights to files of one user: so no link of his leads root to what is not his.
/// </summary>
internal readonly ref struct FileRights
{
    public FileRights(uint user) => _ = Libc.setfsuid(user);

    public void Dispose() => _ = Libc.setfsuid(Limits.UserId);
}
