// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>A program of the classic packet filter, which the kernel runs for each system call or datagram.</summary>
internal sealed unsafe class BpfProgram
{
    private readonly List<Libc.sock_filter> _rules = new(256);

    /// <summary>A new one in the place of this one.</summary>
    public void Clear() => _rules.Clear();

    public void Load(int offset) => Add(Libc.BPF_LD | Libc.BPF_W | Libc.BPF_ABS, (uint)offset);

    public void Alu(int operation, uint operand) => Add(Libc.BPF_ALU | operation | Libc.BPF_K, operand);

    /// <summary>Of the last value and the one that <see cref="Tax"/> kept.</summary>
    public void AluX(int operation) => Add(Libc.BPF_ALU | operation | Libc.BPF_X, 0);

    public void Tax() => Add(Libc.BPF_MISC | Libc.BPF_TAX, 0);

    public void Return(uint result) => Add(Libc.BPF_RET | Libc.BPF_K, result);

    /// <summary>Passes over so many rules.</summary>
    public void Jump(int test, uint value, int then, int otherwise) =>
        _rules.Add(
            new Libc.sock_filter
            {
                code = (ushort)(Libc.BPF_JMP | test | Libc.BPF_K),
                k = value,
                jt = (byte)then,
                jf = (byte)otherwise,
            });

    /// <summary>Continues elsewhere; <see cref="Patch"/> says where.</summary>
    public int Ja()
    {
        Add(Libc.BPF_JMP | Libc.BPF_JA, 0);
        return _rules.Count - 1;
    }

    /// <summary>The leap comes down here.</summary>
    public void Patch(int jump) => CollectionsMarshal.AsSpan(_rules)[jump].k = (uint)(_rules.Count - jump - 1);

    /// <summary>
    /// Judges the system calls of all threads from now on; of those that several programs judge the strictest judgement
    /// holds.
    /// </summary>
    public Errno AttachSeccomp(int flags)
    {
        fixed (Libc.sock_filter* first = CollectionsMarshal.AsSpan(_rules))
        {
            Libc.sock_fprog program = Of(first);
            return Libc.syscall(
                Libc.SYS_seccomp, Libc.SECCOMP_SET_MODE_FILTER, Libc.SECCOMP_FILTER_FLAG_TSYNC | flags, &program) != 0
                ? Errno.Last
                : Errno.None;
        }
    }

    /// <summary>Judges what comes for a socket, in the place of the program that did.</summary>
    public Errno AttachToSocket(int fd)
    {
        fixed (Libc.sock_filter* first = CollectionsMarshal.AsSpan(_rules))
        {
            Libc.sock_fprog program = Of(first);
            return Libc.setsockopt(
                fd, Libc.SOL_SOCKET, Libc.SO_ATTACH_FILTER, &program, (uint)sizeof(Libc.sock_fprog)) != 0
                ? Errno.Last
                : Errno.None;
        }
    }

    private Libc.sock_fprog Of(Libc.sock_filter* first) => new() { len = (ushort)_rules.Count, filter = first };

    private void Add(int code, uint operand) => _rules.Add(new Libc.sock_filter { code = (ushort)code, k = operand });
}
