// SPDX-License-Identifier: MIT
using System.Runtime.ExceptionServices;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A separate thread, for what must not be seen by the rest of the process once it has left its namespaces or its
/// descriptor table.
/// </summary>
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
