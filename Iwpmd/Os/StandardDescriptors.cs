namespace Iwpmd.Os;

/// <summary>Descriptors 0, 1 and 2. A caller can leave them closed; the next thing opened would get such a number, and the log would be written into it.</summary>
internal static class StandardDescriptors
{
    private const int Count = 3;

    /// <summary>Opens those that are closed, on nothing.</summary>
    public static void Fill()
    {
        for (int fd = 0; fd < Count; fd++)
        {
            if (Libc.fcntl(fd, Libc.F_GETFD, 0) < 0)
            {
                _ = Libc.open("/dev/null", Libc.O_RDWR, 0); // gets the lowest number, which is this one
            }
        }
    }
}
