// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>The source of a peer's datagram, its destination among our addresses, and its interface.</summary>
internal readonly record struct PeerArrival(InetEndpoint From, InetEndpoint To, uint Interface);
