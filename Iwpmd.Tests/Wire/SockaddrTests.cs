// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class SockaddrTests
{
    private const string V4 = "0200 1388 0a000001 0000000000000000",
        V6 = "0a00 1388 00000000 fe800000000000000000000000000001 02000000";

    [Theory]
    [InlineData("10.0.0.1:5000", V4)]
    [InlineData("[fe80::1%2]:5000", V6)]
    public void An_endpoint_is_written_as_C_lays_it_out_with_zeros_behind(string text, string bytes)
    {
        byte[] expected = Hex.Bytes(bytes), storage = Hex.Dirty(Sockaddr.StorageSize);

        int size = Sockaddr.Write(storage, InetEndpoint.Parse(text));

        Assert.Equal(expected.Length, size);
        Assert.Equal([.. expected, .. new byte[Sockaddr.StorageSize - size]], storage);
    }

    [Theory]
    [InlineData(V4, "10.0.0.1:5000")]
    [InlineData("0200 1388 0a000001 a5a5a5a5a5a5a5a5", "10.0.0.1:5000")]
    [InlineData(V6, "[fe80::1%2]:5000")]
    [InlineData("0a00 1388 a5a5a5a5 fe800000000000000000000000000001 02000000 a5a5", "[fe80::1%2]:5000")]
    public void An_endpoint_is_read_whatever_stands_in_the_bytes_it_does_not_use(string bytes, string text)
    {
        Assert.True(Sockaddr.TryRead(Hex.Bytes(bytes), out InetEndpoint endpoint));
        Assert.Equal(InetEndpoint.Parse(text), endpoint);
    }

    [Fact]
    public void The_scope_is_kept_for_every_v6_address()
    {
        byte[] bytes = Hex.Dirty(Sockaddr.In6Size);
        Sockaddr.Write(bytes, InetEndpoint.Parse("[fd00::1]:1").WithScope(9));

        Assert.True(Sockaddr.TryRead(bytes, out InetEndpoint endpoint));
        Assert.Equal(9u, endpoint.Scope);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0200")]
    [InlineData("0200 1388 0a000001 00000000000000")] // 15
    [InlineData("0a00 1388 00000000 fe800000000000000000000000000001 020000")] // 27
    [InlineData("0000 1388 0a000001 0000000000000000")]
    [InlineData("0100 1388 0a000001 0000000000000000")]
    [InlineData("0002 1388 0a000001 0000000000000000")] // the family in network order
    public void What_is_short_or_of_another_family_is_no_endpoint(string bytes)
    {
        Assert.False(Sockaddr.TryRead(Hex.Bytes(bytes), out InetEndpoint endpoint));
        Assert.Equal(default, endpoint);
    }

    [Fact]
    public void Sizes_offsets_and_families_are_those_of_C() => Assert.Equal(
        [$"{Sockaddr.StorageSize} {Sockaddr.InSize} {Sockaddr.In6Size}", "2 10", "0 2 4", "0 2 8 24"],
        CCompiler.Run("""
            #include <stddef.h>
            #include <stdio.h>
            #include <netinet/in.h>
            #include <sys/socket.h>
            #define AT(type, field) (int)offsetof(struct type, field)
            int main(void)
            {
                printf("%zu %zu %zu\n", sizeof(struct sockaddr_storage), sizeof(struct sockaddr_in),
                       sizeof(struct sockaddr_in6));
                printf("%d %d\n", AF_INET, AF_INET6);
                printf("%d %d %d\n", AT(sockaddr_in, sin_family), AT(sockaddr_in, sin_port), AT(sockaddr_in, sin_addr));
                printf("%d %d %d %d\n", AT(sockaddr_in6, sin6_family), AT(sockaddr_in6, sin6_port),
                       AT(sockaddr_in6, sin6_addr), AT(sockaddr_in6, sin6_scope_id));
                return 0;
            }
            """));
}
