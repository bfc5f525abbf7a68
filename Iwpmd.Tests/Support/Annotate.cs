// SPDX-License-Identifier: MIT
using System.Net;
using System.Text;

namespace Iwpmd.Tests.Support;

/// <summary>
/// Messages as hex dumps, one line a field, each with its meaning, for goldens. Shares no code with Iwpmd.Wire.
/// </summary>
internal static class Annotate
{
    // Attribute names by operation, in the order of their numbers; the first letter is the form: a address, s string, 2
    // and 4 numbers of so many bytes.
    private static readonly string[] FromKernelFields =
    [
        "4SEQ sIF_NAME sIBDEV_NAME sULIB_NAME", "4SEQ aADDR 4FLAGS", "4SEQ aLOCAL_ADDR aREMOTE_ADDR 4FLAGS",
        "4SEQ aADDR", "", "",
        "aLOCAL_ADDR aMAPPED_ADDR 4FLAGS", "4SEQ 4SEND_NUM", "2ABI_VERSION",
    ];

    private static readonly string[] ToKernelFields =
    [
        "4SEQ sIBDEV_NAME sULIB_NAME 2ULIB_VER 2PID_ERR", "4SEQ aADDR aMAPPED_LOC_ADDR 2ERR",
        "4SEQ aLOCAL_ADDR aREMOTE_ADDR aMAPPED_LOC_ADDR aMAPPED_REM_ADDR 2ERR", "",
        "4SEQ aLOCAL_ADDR aREMOTE_ADDR aMAPPED_LOC_ADDR aMAPPED_REM_ADDR 2ERR", "4SEQ 2CODE", "sULIB_NAME 2ULIB_VER",
        "4SEQ 4SEND_NUM 4ACK_NUM", "2ABI_VERSION",
    ];

    private static readonly string[] PeerTypes = ["REQUEST", "ACCEPT", "ACK", "REJECT"];

    /// <summary>A datagram of the kernel, with all messages in it.</summary>
    public static string FromKernel(byte[] datagram) => Netlink(datagram, FromKernelFields);

    /// <summary>A datagram to the kernel.</summary>
    public static string ToKernel(byte[] datagram) => Netlink(datagram, ToKernelFields);

    /// <summary>A message between port mappers, of 48 or 64 bytes.</summary>
    public static string Peer(byte[] message)
    {
        var text = new StringBuilder();
        int version = message[0] & 0xf;
        int Port(int at) => message[at] * 256 + message[at + 1];
        void Field(int at, int size, string meaning) => Line(text, message, at, size, meaning);
        void Address(int at, string name)
        {
            int size = version == 4 ? 4 : 16;
            Field(
                at, 16,
                $"{name} {new IPAddress(message[at..(at + size)])}{Stray(message.AsSpan(at + size, 16 - size))}");
        }

        Field(0, 1, $"version {message[0] >> 6}, {PeerTypes[(message[0] >> 4) & 3]}, ip version {version}");
        Field(1, 1, $"PmTime {message[1]}");
        Field(2, 2, message.Length == 64 ? $"mapped port {Port(2)}" : $"reserved{Stray(message.AsSpan(2, 2))}");
        Field(4, 2, $"ApPort {Port(4)}");
        Field(6, 2, $"CpPort {Port(6)}");
        Field(8, 8, $"AssocHandle {Hex.Text(message.AsSpan(8, 8))}");
        Address(16, "CpIPAddr");
        Address(32, "ApIPAddr");
        if (message.Length == 64)
        {
            Address(48, "mapped address");
        }
        return text.ToString();
    }

    private static string Netlink(byte[] datagram, string[] fields)
    {
        var text = new StringBuilder();
        foreach (RawNetlink message in RawNetlink.Read(datagram))
        {
            bool control = message.Type < 16;
            Line(text, datagram, message.At, 4, $"length {message.Length}");
            Line(
                text, datagram, message.At + 4, 2,
                control ? $"type {message.Name}" : $"type {message.Name}, client {message.Client}");
            Line(text, datagram, message.At + 6, 2, $"flags {Flags(message.Flags)}");
            Line(text, datagram, message.At + 8, 4, $"sequence {message.Sequence}");
            Line(text, datagram, message.At + 12, 4, $"port id {message.PortId}");
            if (control && message.Payload.Length >= 4)
            {
                Line(text, datagram, message.At + 16, 4, $"result {BitConverter.ToInt32(message.Payload)}");
            }
            string[] names = control ? [] : fields[message.Operation].Split(' ');
            foreach (RawAttribute attribute in message.Attributes)
            {
                int size = 4 + attribute.Value.Length + attribute.Padding.Length;
                Line(
                    text, datagram, attribute.At, size,
                    $"{attribute.Type} {Meaning(attribute, names.ElementAtOrDefault(attribute.Type - 1))}");
            }
        }
        return text.ToString();
    }

    private static string Flags(int flags) => flags switch { 1 => "REQUEST", 2 => "MULTI", _ => $"{flags:x4}" };

    private static string Meaning(RawAttribute attribute, string? field)
    {
        byte[] value = attribute.Value;
        string text = field?[0] switch
        {
            '2' => $"{field[1..]} {attribute.UInt16}{Stray(value.AsSpan(2))}",
            '4' => $"{field[1..]} {attribute.UInt32}{Stray(value.AsSpan(4))}",
            's' => $"{field[1..]} \"{attribute.String}\"{Stray(value.AsSpan(attribute.String.Length))}",
            'a' => $"{field[1..]} {attribute.Address}{Stray(attribute.UnusedOfAddress)}",
            _ => "unknown",
        };
        return text + Stray(attribute.Padding);
    }

    private static string Stray(ReadOnlySpan<byte> unused) => unused.ContainsAnyExcept((byte)0) ? " (stray bytes)" : "";

    /// <summary>Offset, bytes in words of four with long runs of zero words counted, meaning.</summary>
    private static void Line(StringBuilder text, byte[] bytes, int at, int size, string meaning)
    {
        ReadOnlySpan<byte> field = bytes.AsSpan(at, size);
        int zeros = size - (field.TrimEnd((byte)0).Length + 3) / 4 * 4;
        bool fold = zeros > 8;
        string hex =
            string.Join(' ', field[..(fold ? size - zeros : size)].ToArray().Chunk(4).Select(word => Hex.Text(word)))
                + (fold ? $" 00 x {zeros}" : "");
        text.Append($"{at:x4}  {hex,-44}  {meaning}\n");
    }
}
