// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>The programs these tests run, and the library they run under.</summary>
internal static class Binaries
{
    private static readonly Lazy<string> s_simulatedKernel = new(
        () => Compile("simkernel/simkernel.c", "-shared", "-fPIC"));

    /// <summary>The published executable.</summary>
    public static string Ours => Require(Repository.PathOf("out/iwpmd"), "run make first");

    /// <summary>The daemon of rdma-core: unpacked by the lab, or where it happens to be installed.</summary>
    public static string C
    {
        get
        {
            string path = Require(
                Unpacked("usr/sbin/iwpmd", "/usr/sbin/iwpmd"), "run lab/lab deps, which unpacks rdma-core");
            Assert.True(File.ReadAllText(path).Contains("libnl-3"), $"{path} is not the daemon of rdma-core");
            return path;
        }
    }

    /// <summary>What is in the packages that the lab unpacks, or else the host's.</summary>
    public static string Unpacked(string path, string installed) =>
        Repository.PathOf($"out/lab/root/{path}") is var unpacked && Path.Exists(unpacked) ? unpacked : installed;

    /// <summary>Libraries that the unpacked daemon needs and the host may not have.</summary>
    public static string LibrariesOfC => Repository.PathOf("out/lab/root/lib/x86_64-linux-gnu");

    /// <summary>The library to preload.</summary>
    public static string SimulatedKernel => s_simulatedKernel.Value;

    /// <summary>Compiles a C source of the repository into out/native.</summary>
    public static string Compile(string source, params string[] options)
    {
        string output = Path.Combine(
            Directory.CreateDirectory(Repository.PathOf("out/native")).FullName,
            Path.GetFileNameWithoutExtension(source) + (options.Contains("-shared") ? ".so" : ""));
        string fresh = $"{output}.{Environment.ProcessId}"; // another run may be using the old one
        Tool.Run(
            "cc", "gcc", ["-Wall", "-Wextra", "-Werror", "-O2", .. options, "-o", fresh, Repository.PathOf(source)]);
        File.Move(fresh, output, overwrite: true);
        return output;
    }

    private static string Require(string path, string remedy)
    {
        Assert.True(File.Exists(path), $"{path} is missing: {remedy}");
        return path;
    }
}
