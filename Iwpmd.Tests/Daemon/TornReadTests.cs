// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Daemon;

/// <summary>
/// One who writes rows without a pause, and one who reads them through a mapping of his own, as another process would.
/// </summary>
public sealed class TornReadTests : IDisposable
{
    private const int Reads = 1_000_000, MostReads = 100 * Reads, Values = 1000, Rows = 4;

    private static readonly StateCapacity Capacity = StateCapacity.For(16);

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Of_a_million_reads_none_is_torn()
    {
        Assert.Null(StateFile.TryOpen(
            _directory.Path, Limits.UserId, StateLayout.SizeOf(Capacity), [], out StateFile? file));
        using StateFile owned = file!;
        var state = new StateLayout(owned.Address, Capacity);
        state.Format(default);
        Assert.Null(StateView.TryOpen(_directory["state"], out StateView? view));
        using StateView seen = view!;
        using var stop = new CancellationTokenSource();
        Task writer = Task.Factory.StartNew(() => Write(state, stop.Token), TaskCreationOptions.LongRunning);
        (int torn, HashSet<uint> seenValues) = Read(seen);
        await stop.CancelAsync();
        await writer;

        Assert.Equal(0, torn);
        Assert.True(seenValues.Count > Values, $"the writer stood still: {seenValues.Count} values");
    }

    private static void Write(StateLayout state, CancellationToken stop)
    {
        for (uint n = 1; !stop.IsCancellationRequested; n++)
        {
            using var change = new RowChange<MappingRow>(ref state.Mappings[(int)(n % Rows)]);
            change.Row.Local = new InetEndpoint(IpFamily.V6, n, 0, 0, n);
            change.Row.MappedPort = (ushort)n;
            change.Row.References = (int)n;
            change.Row.Generation = n;
            change.Row.CreatedAt = new TimeSpan(n);
            change.Row.LastChangedAt = new TimeSpan(~(long)n);
        }
    }

    private static (int Torn, HashSet<uint> Values) Read(StateView view)
    {
        int torn = 0;
        var values = new HashSet<uint>();
        StateGeometry geometry = StateLayout.GeometryOf(Capacity);
        // On a busy machine the writer gets its turns late.
        for (int reads = 0; reads < Reads || (values.Count <= Values && reads < MostReads);)
        {
            if (!StateMigration.TryRead(
                view.Bytes, geometry.MappingsAt, geometry.MappingSize, reads % Rows, out MappingRow row,
                out bool isNeverWritten))
            {
                continue; // the writer was interrupted in its middle
            }
            reads++;
            uint n = row.Generation;
            bool isOneWrite = row.Local.High == n && row.Local.Scope == n && row.MappedPort == (ushort)n
                && row.References == (int)n && row.CreatedAt.Ticks == n && row.LastChangedAt.Ticks == ~(long)n;
            torn += isNeverWritten || isOneWrite ? 0 : 1;
            values.Add(n);
        }
        return (torn, values);
    }
}
