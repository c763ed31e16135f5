namespace Hypervisor.Engine.Partitions.Software;

/// <summary>Carries messages to the local APICs they are meant for. Lock-free: any thread sends.</summary>
internal sealed class ApicBus
{
    private const uint Broadcast8 = 0xFF, Broadcast32 = uint.MaxValue;

    private LocalApic[] _apics = [];
    private int _rotation;

    /// <summary>Called with the vector of a level-triggered interrupt that ended.</summary>
    public Action<byte>? EndOfInterrupt { get; set; }

    /// <summary>Connects the APICs, by id. Once, before anything is sent.</summary>
    public void Connect(LocalApic[] apics) => _apics = apics;

    /// <summary>Delivers to whoever the destination names.</summary>
    public void Send(in ApicMessage message)
    {
        if (message.Mode == DeliveryMode.LowestPriority)
        {
            SendToLowest(message);
            return;
        }

        if (!message.Logical && message.Destination < (uint)_apics.Length)
        {
            _apics[message.Destination].Accept(message);
            return;
        }

        foreach (var apic in _apics)
        {
            if (Matches(apic, message))
            {
                apic.Accept(message);
            }
        }
    }

    /// <summary>Delivers to all, with or without the sender.</summary>
    public void SendToAll(in ApicMessage message, LocalApic? except)
    {
        foreach (var apic in _apics)
        {
            if (apic != except)
            {
                apic.Accept(message);
            }
        }
    }

    private void SendToLowest(in ApicMessage message)
    {
        LocalApic? chosen = null;
        int priority = int.MaxValue;
        // Among equals the turn goes round, as the arbitration priority of the hardware does.
        int start = (int)((uint)Interlocked.Increment(ref _rotation) % (uint)_apics.Length);
        for (int i = 0; i < _apics.Length; i++)
        {
            var apic = _apics[(start + i) % _apics.Length];
            if (apic.IsEnabled && Matches(apic, message) && apic.ProcessorPriority < priority)
            {
                chosen = apic;
                priority = apic.ProcessorPriority;
            }
        }

        chosen?.Accept(message);
    }

    private static bool Matches(LocalApic apic, in ApicMessage message)
    {
        uint destination = message.Destination;
        return !message.Logical
            ? destination == (uint)apic.Id || destination is Broadcast8 or Broadcast32
            : apic.MatchesLogical(destination);
    }
}
