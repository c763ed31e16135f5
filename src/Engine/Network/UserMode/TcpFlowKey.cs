namespace Hypervisor.Engine.Network.UserMode;

/// <summary>A connection as the guest sees it.</summary>
/// <param name="Guest">The guest's address.</param>
/// <param name="GuestPort">The guest's port.</param>
/// <param name="Remote">The address of the other end.</param>
/// <param name="RemotePort">The port of the other end.</param>
internal readonly record struct TcpFlowKey(uint Guest, ushort GuestPort, uint Remote, ushort RemotePort);
