// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

/// <summary>
/// The C compiler judges every number, struct and function name of <see cref="Libc"/>, and every
/// <see cref="Errno"/>. Nothing is listed here: what has no C counterpart does not compile.
/// </summary>
[Collection(OsCollection.Name)]
public sealed class AbiTests
{
    private const string X64 = "x86_64-linux-gnu-gcc", Arm64 = "aarch64-linux-gnu-gcc";

    /// <summary>What an architecture does not have.</summary>
    private const long Missing = -1;

    private const BindingFlags Any =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly string[] s_headers =
    [
        "errno.h", "fcntl.h", "poll.h", "sched.h", "spawn.h", "stddef.h", "stdio.h", "time.h", "unistd.h", "sys/auxv.h",
        "sys/epoll.h", "sys/eventfd.h", "sys/file.h", "sys/fsuid.h", "sys/ioctl.h", "sys/mman.h", "sys/prctl.h",
        "sys/random.h", "sys/resource.h", "sys/socket.h", "sys/stat.h", "sys/syscall.h", "sys/un.h", "sys/vfs.h",
        "sys/wait.h", "ifaddrs.h", "net/if.h", "netdb.h", "netinet/in.h", "linux/audit.h", "linux/capability.h",
        "linux/errqueue.h", "linux/filter.h", "linux/icmp.h", "linux/icmpv6.h", "linux/magic.h", "linux/netlink.h",
        "linux/seccomp.h",
        "asm/termbits.h",
    ];

    [Theory]
    [InlineData(X64)]
    [InlineData(Arm64)]
    public void Every_constant_and_size_is_that_of_the_C_headers(string compiler)
    {
        var expected = new Dictionary<string, long>();
        foreach (FieldInfo field in typeof(Libc).GetFields(Any).Where(
            f => f.IsLiteral ? f.FieldType != typeof(string) : !f.Name.StartsWith('<')))
        {
            object value = field.GetValue(null)!;
            value = value is not ByArchitecture number ? value : compiler == Arm64 ? number.Arm64 : number.X64;
            expected.Add(ExpressionFor(field.Name), Convert.ToInt64(value, CultureInfo.InvariantCulture));
        }
        Assert.NotEmpty(expected);
        AssertSame(compiler, expected);
    }

    [Theory]
    [InlineData(X64)]
    [InlineData(Arm64)]
    public void Every_struct_has_the_size_and_fields_of_the_C_headers(string compiler)
    {
        var expected = new Dictionary<string, long>();
        foreach (Type type in typeof(Libc).GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic))
        {
            string name = "struct " + type.Name;
            expected.Add($"sizeof({name})", SizeOf(type));
            foreach (FieldInfo field in type.GetFields(
                BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
            {
                expected.Add($"offsetof({name}, {field.Name})", (long)Marshal.OffsetOf(type, field.Name));
                expected.Add($"sizeof((({name} *)0)->{field.Name})", SizeOf(field.FieldType));
            }
        }
        Assert.NotEmpty(expected);
        AssertSame(compiler, expected);
    }

    [Fact]
    public void Every_function_is_declared_in_the_C_headers()
    {
        IEnumerable<string> names = typeof(Libc).GetMethods(Any).Where(m => !m.Name.StartsWith('<')).Select(
            m => m.Name.TrimEnd('_')).Distinct();
        Dictionary<string, long> expected = names.ToDictionary(name => $"sizeof(&({name}))", _ => (long)nint.Size);
        Assert.NotEmpty(expected);
        AssertSame(X64, expected);
    }

    [Fact]
    public void A_number_that_is_not_the_header_s_is_seen()
    {
        Assert.ThrowsAny<Exception>(() => AssertSame(X64, new() { ["EPERM"] = 2 }));
        Assert.ThrowsAny<Exception>(() => AssertSame(Arm64, new() { ["SYS_read"] = 0 }));
        Assert.ThrowsAny<Exception>(() => AssertSame(Arm64, new() { ["SYS_read"] = Missing }));
    }

    [Fact]
    public void Every_error_number_has_its_C_name()
    {
        var expected = Enum.GetValues<Errno>().Where(error => error != Errno.None)
            .ToDictionary(error => error.ToString(), error => (long)error);
        AssertSame(X64, expected);
        AssertSame(Arm64, expected);
    }

    private static string ExpressionFor(string name)
    {
        if (name.StartsWith("offsetof_", StringComparison.Ordinal))
        {
            string[] parts = name["offsetof_".Length..].Split("__");
            return $"offsetof(struct {parts[0]}, {parts[1]})";
        }
        string type = name.StartsWith("sizeof_", StringComparison.Ordinal) ? name["sizeof_".Length..] : "";
        return type.Length == 0 ? name
            : type.EndsWith("_t", StringComparison.Ordinal) ? $"sizeof({type})"
            : $"sizeof(struct {type})";
    }

    private static int SizeOf(Type type) => type.IsPointer
        ? nint.Size
        : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    /// <summary>Compiled and not run, so that each architecture can be judged on any.</summary>
    private static void AssertSame(string compiler, Dictionary<string, long> expected)
    {
        using var directory = new TemporaryDirectory();
        var source = new StringBuilder("#define _GNU_SOURCE\n");
        foreach (string header in s_headers)
        {
            source.Append(CultureInfo.InvariantCulture, $"#include <{header}>\n");
        }
        foreach ((string expression, long value) in expected)
        {
            source.Append(value == Missing && expression.StartsWith("SYS_", StringComparison.Ordinal)
                ? $"#ifdef {expression}\n#error {expression}\n#endif\n"
                : $"_Static_assert((long long)({expression}) == {value}, \"{expression}\");\n");
        }
        File.WriteAllText(directory["abi.c"], source.ToString());
        Assert.Equal("", Output(compiler, "-fsyntax-only", directory["abi.c"]));
    }

    private static string Output(string program, params string[] arguments)
    {
        using Process process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal("", errors);
        return output;
    }
}
