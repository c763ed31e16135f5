using System.Collections.Concurrent;
using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>Keeps the messages it is sent.</summary>
internal sealed class RecordingMsiSink : IMsiSink
{
    public ConcurrentQueue<(ulong Address, uint Data)> Messages { get; } = new();

    public void SignalMsi(ulong address, uint data) => Messages.Enqueue((address, data));
}
