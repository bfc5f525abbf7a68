using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Iwpmd.Os;
using Xunit;

namespace Iwpmd.Tests.Os;

/// <summary>The C compiler judges every number, struct and function name of <see cref="Libc"/>, and every name that <see cref="Errno"/> prints. Nothing is listed here: what has no C counterpart does not compile.</summary>
[Collection(OsCollection.Name)]
public sealed class AbiTests
{
    private const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly string[] s_headers =
    [
        "errno.h", "fcntl.h", "poll.h", "sched.h", "spawn.h", "stddef.h", "stdio.h", "time.h", "unistd.h", "sys/auxv.h", "sys/epoll.h", "sys/eventfd.h", "sys/file.h", "sys/ioctl.h", "sys/mman.h", "sys/prctl.h", "sys/syscall.h",
        "sys/random.h", "sys/resource.h", "sys/socket.h", "sys/stat.h", "sys/un.h", "sys/vfs.h", "sys/wait.h", "ifaddrs.h", "net/if.h", "netdb.h", "netinet/in.h", "linux/audit.h", "linux/capability.h", "linux/errqueue.h", "linux/filter.h", "linux/icmp.h", "linux/icmpv6.h", "linux/magic.h", "linux/netlink.h", "linux/seccomp.h",
    ];

    [Fact]
    public void Every_constant_and_size_is_that_of_the_C_headers()
    {
        var expected = new Dictionary<string, long>();
        foreach (FieldInfo field in typeof(Libc).GetFields(Any).Where(f => f.IsLiteral ? f.FieldType != typeof(string) : !f.Name.StartsWith('<')))
        {
            expected.Add(ExpressionFor(field.Name), Convert.ToInt64(field.GetValue(null), CultureInfo.InvariantCulture));
        }
        Assert.NotEmpty(expected);
        AssertSame(expected);
    }

    [Fact]
    public void Every_struct_has_the_size_and_fields_of_the_C_headers()
    {
        var expected = new Dictionary<string, long>();
        foreach (Type type in typeof(Libc).GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic))
        {
            string name = "struct " + type.Name;
            expected.Add($"sizeof({name})", SizeOf(type));
            foreach (FieldInfo field in type.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
            {
                expected.Add($"offsetof({name}, {field.Name})", (long)Marshal.OffsetOf(type, field.Name));
                expected.Add($"sizeof((({name} *)0)->{field.Name})", SizeOf(field.FieldType));
            }
        }
        Assert.NotEmpty(expected);
        AssertSame(expected);
    }

    [Fact]
    public void Every_function_is_declared_in_the_C_headers()
    {
        IEnumerable<string> names = typeof(Libc).GetMethods(Any).Where(m => !m.Name.StartsWith('<')).Select(m => m.Name.TrimEnd('_')).Distinct();
        Dictionary<string, long> expected = names.ToDictionary(name => $"sizeof(&({name}))", _ => (long)nint.Size);
        Assert.NotEmpty(expected);
        AssertSame(expected);
    }

    [Fact]
    public void Every_error_number_prints_its_C_name()
    {
        Dictionary<string, long> expected = Enumerable.Range(1, 200)
            .Select(number => (number, text: new Errno(number).ToString()))
            .Where(one => one.text != $"errno {one.number}")
            .ToDictionary(one => one.text.Split(' ')[0], one => (long)one.number);
        Assert.NotEmpty(expected);
        AssertSame(expected);
    }

    [Fact]
    public void Every_named_error_has_a_text()
    {
        foreach (PropertyInfo property in typeof(Errno).GetProperties(Any).Where(p => p.Name != nameof(Errno.Last)))
        {
            Assert.DoesNotContain("errno", property.GetValue(null)!.ToString(), StringComparison.Ordinal);
        }
        Assert.Equal("EADDRINUSE (address already in use)", Errno.AddressInUse.ToString());
        Assert.Equal("errno 4711", new Errno(4711).ToString());
    }

    private static string ExpressionFor(string name)
    {
        if (name.StartsWith("offsetof_", StringComparison.Ordinal))
        {
            string[] parts = name["offsetof_".Length..].Split("__");
            return $"offsetof(struct {parts[0]}, {parts[1]})";
        }
        string type = name.StartsWith("sizeof_", StringComparison.Ordinal) ? name["sizeof_".Length..] : "";
        return type.Length == 0 ? name : type.EndsWith("_t", StringComparison.Ordinal) ? $"sizeof({type})" : $"sizeof(struct {type})";
    }

    private static int SizeOf(Type type) => type.IsPointer
        ? nint.Size
        : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    private static void AssertSame(Dictionary<string, long> expected)
    {
        Dictionary<string, long> actual = Ask(expected.Keys);
        Assert.Equal(expected.Select(one => $"{one.Key} = {one.Value}"), expected.Keys.Select(key => $"{key} = {actual[key]}"));
    }

    private static Dictionary<string, long> Ask(IEnumerable<string> expressions)
    {
        using var directory = new TemporaryDirectory();
        var source = new StringBuilder("#define _GNU_SOURCE\n");
        foreach (string header in s_headers)
        {
            source.Append(CultureInfo.InvariantCulture, $"#include <{header}>\n");
        }
        source.Append("int main(void)\n{\n");
        foreach (string expression in expressions)
        {
            source.Append(CultureInfo.InvariantCulture, $"    printf(\"%lld\\t%s\\n\", (long long)({expression}), \"{expression}\");\n");
        }
        File.WriteAllText(directory["abi.c"], source.Append("    return 0;\n}\n").ToString());
        Assert.Equal("", Output("cc", "-o", directory["abi"], directory["abi.c"]));
        return Output(directory["abi"]).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split('\t')).ToDictionary(parts => parts[1], parts => long.Parse(parts[0], CultureInfo.InvariantCulture));
    }

    private static string Output(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal("", errors);
        return output;
    }
}
