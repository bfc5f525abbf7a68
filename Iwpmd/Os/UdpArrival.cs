// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// A datagram that came: from whom, and to which of our addresses (the one to answer from; its scope is the receiving
/// interface when link-local), by which interface.
/// </summary>
internal readonly record struct UdpArrival(int Length, InetEndpoint From, InetEndpoint To, uint Interface);
