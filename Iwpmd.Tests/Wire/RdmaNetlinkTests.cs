// SPDX-License-Identifier: MIT
using System.Reflection;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class RdmaNetlinkTests
{
    [Fact]
    public void Every_constant_is_what_the_C_headers_say()
    {
        string[] ours = [.. typeof(RdmaNetlink).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(field => $"{field.Name} {Convert.ToInt64(field.GetRawConstantValue())}")];

        // The headers for programs lost RDMA_NL_C4IW with the drivers of old (its number is reserved there) and never
        // had the sizes, which the kernel keeps in its iwpm_util.h.
        string[] theirs = CCompiler.Run($$"""
            #include <stdio.h>
            #include <linux/netlink.h>
            #include <rdma/rdma_netlink.h>
            #define RDMA_NL_C4IW RDMA_NL_RSVD
            #define IWPM_ULIBNAME_SIZE 32
            #define IWPM_DEVNAME_SIZE 32
            #define IWPM_IFNAME_SIZE 16
            #define SAY(name) printf("%s %lld\n", #name, (long long)name);
            int main(void)
            {
                {{string.Join("\n", ours.Select(line => $"SAY({line.Split(' ')[0]})"))}}
                return 0;
            }
            """);

        Assert.NotEmpty(ours);
        Assert.Equal(theirs, ours);
    }
}
