// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Wire;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Simulation;

// What the kernel tells of its devices and their endpoints to whoever asks (nldev).
internal sealed partial class Kernel
{
    private const int Devices = 2;

    private void AnswerEndpoints(NetlinkEnd to, in NetlinkHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Operation)
        {
            case RDMA_NLDEV_CMD_SYS_GET:
                Say(to, header, 0, Attribute(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, [1]));
                return;
            case RDMA_NLDEV_CMD_GET:
                for (int device = 0; device < Devices; device++)
                {
                    Say(
                        to, header, NLM_F_MULTI,
                        [.. DeviceIndex(device), .. Attribute(RDMA_NLDEV_ATTR_DEV_NODE_TYPE, [RDMA_NODE_RNIC])]);
                }
                break;
            case RDMA_NLDEV_CMD_RES_GET:
                for (int device = 0; device < Devices; device++)
                {
                    byte[] count = new byte[sizeof(ulong)];
                    MemoryMarshal.Write(count, (ulong)Endpoints.Count(one => one.Device == device));
                    byte[] entry =
                        [.. Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME, "cm_id\0"u8), .. Attribute(
                            RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR, count)];
                    byte[] summary = Attribute(
                        RDMA_NLDEV_ATTR_RES_SUMMARY, Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY, entry));
                    Say(to, header, NLM_F_MULTI, [.. DeviceIndex(device), .. summary]);
                }
                break;
            case RDMA_NLDEV_CMD_RES_CM_ID_GET:
                AnswerEndpoints(to, header, (int)new Attributes(payload).Number32(RDMA_NLDEV_ATTR_DEV_INDEX));
                break;
        }
        _ = to.TryEnqueue(WriteOutcome(NLMSG_DONE, header, to.PortId, 0), DoneCost);
    }

    private void AnswerEndpoints(NetlinkEnd to, in NetlinkHeader header, int device)
    {
        foreach (Endpoint[] some in Endpoints.Where(one => one.Device == device).Chunk(20))
        {
            List<byte> entries = [];
            byte[] address = new byte[Sockaddr.StorageSize];
            foreach (Endpoint endpoint in some)
            {
                Sockaddr.Write(address, endpoint.Local);
                byte[] entry =
                    [.. Attribute(RDMA_NLDEV_ATTR_RES_STATE, [(byte)(endpoint.IsListening ? 8 : 5)]), .. Attribute(
                        RDMA_NLDEV_ATTR_RES_SRC_ADDR, address)];
                entries.AddRange(Attribute(RDMA_NLDEV_ATTR_RES_CM_ID_ENTRY, entry));
            }
            Say(
                to, header, NLM_F_MULTI,
                [.. DeviceIndex(device), .. Attribute(RDMA_NLDEV_ATTR_RES_CM_ID, entries.ToArray())]);
        }
    }

    private static void Say(NetlinkEnd to, in NetlinkHeader header, ushort flags, byte[] attributes)
    {
        byte[] bytes = new byte[NetlinkHeader.Size + attributes.Length];
        new NetlinkHeader(bytes.Length, header.Type, flags, header.Sequence, to.PortId).Write(bytes);
        attributes.CopyTo(bytes, NetlinkHeader.Size);
        _ = to.TryEnqueue(bytes, 1024 + bytes.Length);
    }

    private static byte[] DeviceIndex(int device) =>
        Attribute(RDMA_NLDEV_ATTR_DEV_INDEX, BitConverter.GetBytes(device));

    private static byte[] Attribute(ushort type, ReadOnlySpan<byte> value)
    {
        int length = NetlinkAttribute.HeaderSize + value.Length;
        byte[] bytes = new byte[NetlinkAttribute.Align(length)];
        MemoryMarshal.Write(bytes, (ushort)length);
        MemoryMarshal.Write(bytes.AsSpan(2), type);
        value.CopyTo(bytes.AsSpan(NetlinkAttribute.HeaderSize));
        return bytes;
    }
}
