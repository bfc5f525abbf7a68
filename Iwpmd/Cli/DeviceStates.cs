// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>An iWARP device of the host as the port mapper sees it.</summary>
/// <param name="State">"registered", "served", "unused" or "unserved"; null: unknown, as is the rest then.</param>
/// <param name="Mappings">Of its addresses, and of the wildcard, on which each device listens.</param>
internal readonly record struct DeviceState(RdmaDevice Device, string? State, int Mappings)
{
    public override string ToString()
    {
        string @interface = Device.Interface.Length == 0 ? "interface unknown" : Device.Interface;
        string addresses = Device.Addresses.Length == 0
            ? "no address"
            : string.Join(", ", Device.Addresses.Select(address => address.AddressText()));
        string state = State switch
        {
            "registered" => "registered",
            "served" => "served (another device registered first)",
            "unused" => "not used yet",
            "unserved" => "no port mapper runs",
            _ => "whether it is served is unknown",
        };
        string mappings = State is null ? "" : $", {Format.Count(Mappings, "mapping")}";
        return $"{Device.NameAndDriver}, {@interface}: {addresses}: {state}{mappings}";
    }
}

/// <summary>
/// The kernel registers once, with the device that was used first, and asks for all of them from then on: so the others
/// are served as well, though no registration named them.
/// </summary>
internal static class DeviceStates
{
    public static DeviceState[] Of(RdmaDevice[] devices, StateReading reading) =>
        Array.ConvertAll(devices, device => Of(device, reading));

    private static DeviceState Of(RdmaDevice device, StateReading reading)
    {
        if (!reading.IsDaemonThere || reading.State is not StateSnapshot state)
        {
            return new DeviceState(device, reading.IsUnknown ? null : "unserved", 0);
        }
        string name = "unused";
        foreach (ref readonly ClientRow client in state.Clients)
        {
            name = !client.IsRegistered || name == "registered" ? name
                : client.Device.ToString() == device.Name ? "registered"
                : "served";
        }
        int mappings = 0;
        foreach (ref readonly MappingRow row in state.Mappings)
        {
            InetEndpoint local = row.Local;
            bool isIts = Array.Exists(
                device.Addresses,
                address => local.SameAddress(address) || (local.IsWildcard && local.Family == address.Family));
            mappings += isIts ? 1 : 0;
        }
        return new DeviceState(device, name, mappings);
    }
}
