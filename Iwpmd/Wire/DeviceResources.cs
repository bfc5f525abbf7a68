// SPDX-License-Identifier: MIT
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Wire;

/// <summary>
/// What the kernel reports about RDMA devices and the connection endpoints (cm_ids) that are open on them, to whoever
/// asks: netlink client RDMA_NL_NLDEV. Each question is a dump: any number of messages, then DONE. It must not know
/// what an endpoint means to us.
/// </summary>
internal static class DeviceResources
{
    public const int RequestSize = NetlinkHeader.Size + NetlinkAttribute.HeaderSize + sizeof(uint);

    private const byte Listen = 8; // RDMA_CM_LISTEN of the kernel's cma_priv.h, by position

    /// <summary>Every device: <see cref="TryReadDevice"/>.</summary>
    public static int AskDevices(Span<byte> buffer, uint sequence, uint portId) =>
        Write(buffer, RDMA_NLDEV_CMD_GET, NLM_F_DUMP, sequence, portId, device: null);

    /// <summary>How many resources each device has: <see cref="TryReadCount"/>.</summary>
    public static int AskCounts(Span<byte> buffer, uint sequence, uint portId) =>
        Write(buffer, RDMA_NLDEV_CMD_RES_GET, NLM_F_DUMP, sequence, portId, device: null);

    /// <summary>Every endpoint of one device: <see cref="EndpointReader"/>.</summary>
    public static int AskEndpoints(Span<byte> buffer, uint sequence, uint portId, uint device) =>
        Write(buffer, RDMA_NLDEV_CMD_RES_CM_ID_GET, NLM_F_DUMP, sequence, portId, device);

    /// <summary>
    /// One message that says whether devices belong to one network namespace each: <see cref="IsShared"/>.
    /// </summary>
    public static int AskSystem(Span<byte> buffer, uint sequence, uint portId) =>
        Write(buffer, RDMA_NLDEV_CMD_SYS_GET, 0, sequence, portId, device: null);

    public static bool TryReadDevice(ReadOnlySpan<byte> payload, out uint device, out bool isIwarp)
    {
        (device, isIwarp) = (0, false);
        bool isNamed = false;
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case RDMA_NLDEV_ATTR_DEV_INDEX: (device, isNamed) = (attributes.UInt32(), true); break;
                case RDMA_NLDEV_ATTR_DEV_NODE_TYPE: isIwarp = attributes.UInt8() == RDMA_NODE_RNIC; break;
            }
        }
        return isNamed && attributes.Error is null;
    }

    /// <summary>The number of a device's endpoints, those that we are not shown included.</summary>
    public static bool TryReadCount(ReadOnlySpan<byte> payload, out uint device, out ulong endpoints)
    {
        (device, endpoints) = (0, 0);
        bool isCounted = false;
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case RDMA_NLDEV_ATTR_DEV_INDEX: device = attributes.UInt32(); break;
                case RDMA_NLDEV_ATTR_RES_SUMMARY: isCounted = TryFindCount(attributes.Value, out endpoints); break;
            }
        }
        return isCounted && attributes.Error is null;
    }

    /// <summary>
    /// True when every device is seen from every network namespace, as it is before Linux 5.2, which does not say.
    /// </summary>
    public static bool IsShared(ReadOnlySpan<byte> payload)
    {
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            if (attributes.Type == RDMA_NLDEV_SYS_ATTR_NETNS_MODE)
            {
                return attributes.UInt8() != 0;
            }
        }
        return true;
    }

    private static bool TryFindCount(ReadOnlySpan<byte> summary, out ulong endpoints)
    {
        endpoints = 0;
        var entries = new AttributeReader(summary);
        while (entries.MoveNext())
        {
            bool isEndpoints = false;
            var entry = new AttributeReader(entries.Value);
            while (entry.MoveNext())
            {
                switch (entry.Type)
                {
                    case RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME:
                        isEndpoints = entry.Value.SequenceEqual("cm_id\0"u8);
                        break;
                    case RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR when isEndpoints:
                        endpoints = entry.UInt64();
                        return entry.Error is null;
                }
            }
        }
        return false;
    }

    private static int Write(Span<byte> buffer, int operation, ushort flags, uint sequence, uint portId, uint? device)
    {
        var attributes = new AttributeWriter(buffer[NetlinkHeader.Size..]);
        if (device is uint index)
        {
            attributes.UInt32(RDMA_NLDEV_ATTR_DEV_INDEX, index);
        }
        int length = NetlinkHeader.Size + attributes.Length;
        ushort type = NetlinkHeader.TypeOf(RDMA_NL_NLDEV, operation);
        new NetlinkHeader(length, type, (ushort)(NLM_F_REQUEST | flags), sequence, portId).Write(buffer);
        return length;
    }

    /// <summary>Walks the endpoints of one message of the dump.</summary>
    internal ref struct EndpointReader
    {
        private AttributeReader _entries;

        public EndpointReader(ReadOnlySpan<byte> payload)
        {
            var attributes = new AttributeReader(payload);
            while (attributes.MoveNext())
            {
                if (attributes.Type == RDMA_NLDEV_ATTR_RES_CM_ID)
                {
                    _entries = new AttributeReader(attributes.Value);
                }
            }
        }

        /// <summary>Without a family when it has no address yet.</summary>
        public InetEndpoint Local { get; private set; }

        public bool IsListening { get; private set; }

        public bool MoveNext()
        {
            if (!_entries.MoveNext())
            {
                return false;
            }
            (Local, IsListening) = (default, false);
            var entry = new AttributeReader(_entries.Value);
            while (entry.MoveNext())
            {
                switch (entry.Type)
                {
                    case RDMA_NLDEV_ATTR_RES_STATE: IsListening = entry.UInt8() == Listen; break;
                    case RDMA_NLDEV_ATTR_RES_SRC_ADDR: Local = entry.Endpoint(); break;
                }
            }
            return true;
        }
    }
}
