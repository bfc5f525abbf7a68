namespace Iwpmd.Core;

/// <summary>
/// Arrays of zeros of which most is never used. An ordinary array of less than 85 KB is written when it is made, page by page; one that the collector never moves lies in
/// memory as the kernel gives it, which costs nothing until it is touched.
/// </summary>
internal static class Sparse
{
    public static T[] Array<T>(int length)
        where T : unmanaged => GC.AllocateArray<T>(length, pinned: true);
}
