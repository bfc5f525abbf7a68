// SPDX-License-Identifier: MIT
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class KernelProtocolTests
{
    /// <summary>As counted on kernels with pages of each size: doc/protocol.md K6.2.</summary>
    [Theory]
    [InlineData(4096, 228)]
    [InlineData(8192, 494)]
    [InlineData(16384, 494)]
    [InlineData(65536, 494)]
    public void A_kernel_can_name_so_many_mappings(int pageSize, int most) =>
        Assert.Equal(most, KernelProtocol.MaxReplayed(pageSize));
}
