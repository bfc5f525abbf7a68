// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Gives the privileges of root away but for the one that is needed. Only the calling thread loses them, since
/// capabilities belong to threads: whatever program it starts next has no others.
/// </summary>
internal static unsafe class PrivilegeDrop
{
    /// <summary>Whom the daemon runs as where root or the unit starts it.</summary>
    public const string User = "iwpmd";

    // not by the C library, whose name services a static program does not have
    private const string Users = "/etc/passwd";

    private static readonly string[] s_files = ["state", "state.new", "takeover"];

    /// <summary>Reads the ids of a user of this host.</summary>
    public static bool TryFind(string name, out uint userId, out uint groupId)
    {
        (userId, groupId) = (0, 0);
        try
        {
            foreach (string line in File.ReadLines(Users))
            {
                string[] fields = line.Split(':');
                if (fields.Length > 3 && fields[0] == name)
                {
                    return uint.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out userId)
                        & uint.TryParse(fields[3], NumberStyles.None, CultureInfo.InvariantCulture, out groupId);
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // a host without users
        }
        return false;
    }

    /// <summary>
    /// Makes the directory, or what root has left in it, the user's. One that is not root's, or to which not root alone
    /// leads, stays as it is: whose it is may have put anything there. So does one that others write to or that has
    /// other files: it is not for this program alone.
    /// </summary>
    public static void GiveDirectory(string path, uint userId, uint groupId)
    {
        const uint Mode = 0x1ed, OfOthers = 0x12; // 0755, 0022
        if (FileStatus.FirstOwner(path) != 0)
        {
            return;
        }
        _ = Libc.mkdir(path, Mode);
        Libc.statx status;
        if (Libc.statx_(Libc.AT_FDCWD, path, Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS, &status) != 0
            || (status.stx_mode & Libc.S_IFMT) != Libc.S_IFDIR || (status.stx_mode & OfOthers) != 0
            || !HasNoOtherFiles(path))
        {
            return;
        }
        foreach (string name in s_files)
        {
            _ = Libc.lchown(Path.Combine(path, name), userId, groupId);
        }
        _ = Libc.lchown(path, userId, groupId);
    }

    private static bool HasNoOtherFiles(string path)
    {
        try
        {
            return Directory.EnumerateFileSystemEntries(path).All(entry => s_files.Contains(Path.GetFileName(entry)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // not known
        }
    }

    /// <summary>
    /// The answer to a question about files as this user gets it, without any right beside his own; false as well where
    /// this process may not become him. It is asked by a thread of its own, which ends with what it gave away.
    /// </summary>
    public static bool Ask(uint userId, uint groupId, Func<bool> question)
    {
        bool answer = false;
        var asker = new Thread(() => answer = TrySetIds(userId, groupId) && question());
        asker.Start();
        asker.Join();
        return answer;
    }

    // The system calls themselves: the C library would ask all threads to follow.
    private static bool TrySetIds(uint userId, uint groupId) =>
        Libc.syscall(Libc.SYS_setgroups, 0, 0, null) == 0
        && Libc.syscall(Libc.SYS_setresgid, (nint)groupId, (nint)groupId, (void*)groupId) == 0
        && Libc.syscall(Libc.SYS_setresuid, (nint)userId, (nint)userId, (void*)userId) == 0;

    /// <summary>
    /// Keeps the right to settings of the network, which the kernel's announcements need; the others can never be had
    /// again. With user 0 the user stays.
    /// </summary>
    public static OpError? To(uint userId, uint groupId)
    {
        const int Kept = Libc.CAP_NET_ADMIN;
        for (int other = 0; other <= Libc.CAP_LAST_CAP; other++)
        {
            if (other != Kept)
            {
                // a kernel that does not know it has no such right to give
                _ = Libc.prctl(Libc.PR_CAPBSET_DROP, (nuint)other, 0, 0, 0);
            }
        }
        if (userId != 0)
        {
            _ = Libc.prctl(Libc.PR_SET_KEEPCAPS, 1, 0, 0, 0);
            if (!TrySetIds(userId, groupId))
            {
                return OpError.Of("setresuid");
            }
        }
        var header = new Libc.__user_cap_header_struct { version = Libc._LINUX_CAPABILITY_VERSION_3 };
        Libc.__user_cap_data_struct* data = stackalloc Libc.__user_cap_data_struct[2];
        data[0].effective = data[0].permitted = data[0].inheritable = 1u << Kept;
        data[1] = default;
        return Libc.syscall(Libc.SYS_capset, (nint)(&header), (nint)data, null) != 0
            || Libc.prctl(Libc.PR_CAP_AMBIENT, Libc.PR_CAP_AMBIENT_RAISE, Kept, 0, 0) != 0
            || Libc.prctl(Libc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? OpError.Of("capset") : null;
    }
}
