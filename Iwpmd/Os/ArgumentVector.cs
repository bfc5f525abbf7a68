// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os;

/// <summary>Texts as C has them for a new process: an array of pointers that ends with null.</summary>
internal static unsafe class ArgumentVector
{
    public static byte** Of(IReadOnlyList<string> texts)
    {
        byte** vector = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            vector[i] = (byte*)Marshal.StringToCoTaskMemUTF8(texts[i]);
        }
        return vector;
    }

    public static void Free(byte** vector)
    {
        for (int i = 0; vector[i] != null; i++)
        {
            Marshal.FreeCoTaskMem((nint)vector[i]);
        }
        NativeMemory.Free(vector);
    }
}
