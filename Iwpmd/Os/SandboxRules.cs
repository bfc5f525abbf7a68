// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>Puts a filter for system calls together. Between two rules the number of the call is at hand.</summary>
internal sealed class SandboxRules
{
    public SandboxRules() => Program.Load(Libc.offsetof_seccomp_data__nr);

    public BpfProgram Program { get; } = new();

    public void RequireArchitecture(uint architecture, uint refuse)
    {
        Program.Load(Libc.offsetof_seccomp_data__arch);
        Program.Jump(Libc.BPF_JEQ, architecture, then: 1, otherwise: 0);
        Return(refuse);
        Program.Load(Libc.offsetof_seccomp_data__nr);
    }

    /// <summary>The same judgement for each of these calls that this architecture has.</summary>
    public void Each(ReadOnlySpan<ByArchitecture> calls, uint judgement)
    {
        foreach (int call in calls)
        {
            if (call >= 0)
            {
                Program.Jump(Libc.BPF_JEQ, (uint)call, then: 0, otherwise: 1);
                Return(judgement);
            }
        }
    }

    /// <summary>
    /// Allows a call when the lower half of an argument, as far as <paramref name="mask"/> shows it, has one of these
    /// values.
    /// </summary>
    public void Allow(int call, int argument, int mask, uint refuse, params ReadOnlySpan<uint> values)
    {
        if (call >= 0)
        {
            int end = BeginCall(call);
            Require(argument, mask, refuse, values);
            Return(Libc.SECCOMP_RET_ALLOW);
            End(end);
        }
    }

    /// <summary>What follows, up to <see cref="End"/>, is about this call; it must end with a judgement.</summary>
    public int BeginCall(int call) => BeginEqual((uint)call);

    /// <summary>
    /// Inside a call: what follows, up to <see cref="End"/>, is about this value of an argument; it must end with a
    /// judgement.
    /// </summary>
    public int BeginWhere(int argument, uint value)
    {
        LoadArgument(argument);
        return BeginEqual(value);
    }

    public void End(int begin) => Program.Patch(begin);

    /// <summary>
    /// Continues when the lower half of an argument, as far as <paramref name="mask"/> shows it, has one of these
    /// values.
    /// </summary>
    public void Require(int argument, int mask, uint refuse, params ReadOnlySpan<uint> values)
    {
        LoadArgument(argument);
        Program.Alu(Libc.BPF_AND, (uint)mask);
        for (int i = 0; i < values.Length; i++)
        {
            Program.Jump(Libc.BPF_JEQ, values[i], then: values.Length - i, otherwise: 0);
        }
        Return(refuse);
    }

    public void RefuseFrom(uint number, uint refuse)
    {
        Program.Jump(Libc.BPF_JGE, number, then: 0, otherwise: 1);
        Return(refuse);
    }

    public void Return(uint judgement) => Program.Return(judgement);

    private void LoadArgument(int argument) =>
        Program.Load(Libc.offsetof_seccomp_data__args + (argument * sizeof(ulong)));

    private int BeginEqual(uint value)
    {
        Program.Jump(Libc.BPF_JEQ, value, then: 1, otherwise: 0);
        return Program.Ja();
    }
}
