using System.Runtime.ExceptionServices;
using Xunit;

namespace Iwpmd.Tests.Os;

/// <summary>These tests use what the process has only one of (signals, descriptors, the processes it starts): one after the other.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class OsCollection
{
    public const string Name = "Os";
}

/// <summary>A thread of its own, for what must not be seen by the rest of the process once it has left its namespaces or its descriptor table.</summary>
internal static class OwnThread
{
    public static void Run(Action action)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                action();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
    }
}

internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("iwpmd-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
