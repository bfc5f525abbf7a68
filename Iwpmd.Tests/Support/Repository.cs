// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Tests.Support;

/// <summary>
/// Where the sources are that these tests were built from. Builds map source paths, so the compiler's word for a file
/// is not always a real one.
/// </summary>
internal static class Repository
{
    private const string OwnPath = "Iwpmd.Tests/Support/Repository.cs";

    private static readonly string BuildRoot = ThisFile()[..^OwnPath.Length];

    public static string Root { get; } = FindRoot();

    /// <summary>The real path of what [CallerFilePath] says.</summary>
    public static string RealPath(string callerFilePath) =>
        callerFilePath.StartsWith(BuildRoot, StringComparison.Ordinal)
        ? Path.Combine(Root, callerFilePath[BuildRoot.Length..])
        : callerFilePath;

    public static string PathOf(string relative) => Path.Combine(Root, relative);

    /// <summary>
    /// All C# sources of one project, as paths relative to the root ("Iwpmd/Wire/Sockaddr.cs"), in order.
    /// </summary>
    public static IEnumerable<string> Sources(string project) =>
        Files(project).Where(path => path.EndsWith(".cs", StringComparison.Ordinal));

    /// <summary>
    /// All files below a folder that no build made, as paths relative to the root. In a work tree of git's, .git is a
    /// file.
    /// </summary>
    public static IEnumerable<string> Files(string folder = "")
    {
        string[] built = ["bin", "obj", "out", "TestResults", ".git"];
        return Directory.EnumerateFiles(PathOf(folder)).Where(path => Path.GetFileName(path) != ".git").Concat(
            Directory.EnumerateDirectories(PathOf(folder))
                .Where(path => !built.Contains(Path.GetFileName(path)) && new DirectoryInfo(path).LinkTarget is null)
                .SelectMany(path => Files(Path.GetRelativePath(Root, path)).Select(PathOf)))
            .Select(path => Path.GetRelativePath(Root, path))
            .Order(StringComparer.Ordinal);
    }

    private static string FindRoot()
    {
        // The test host runs in the build's output folder; PWD still says where the command was given.
        string?[] starts =
            [
                BuildRoot, AppContext.BaseDirectory, Environment.CurrentDirectory,
                Environment.GetEnvironmentVariable("PWD"),
            ];
        foreach (string? start in starts)
        {
            DirectoryInfo? folder = start is null ? null : new DirectoryInfo(start);
            for (; folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, OwnPath)))
                {
                    return folder.FullName;
                }
            }
        }
        throw new DirectoryNotFoundException(
            "The sources are not to be found: run the tests from inside the checkout.");
    }

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
