using System.Numerics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// A local APIC, xAPIC and x2APIC (Intel SDM vol. 3A, chapter 11). Registers belong to the processor's thread; interrupts
/// arrive from any thread by setting bits atomically and then waking the processor. Registers as the guest sees them are in the
/// other part of this class.
/// </summary>
internal sealed partial class LocalApic : ILocalApic, IDisposable
{
    private const int LowestVector = 16;
    private const int None = -1;

    private readonly ApicBus _bus;
    private readonly IApicTarget _target;
    private readonly LocalApicTimer _timer;

    // 256 bits each. Requests and triggers are set by other threads, service bits only by the processor's.
    private readonly ulong[] _requests = new ulong[4];
    private readonly ulong[] _inService = new ulong[4];
    private readonly ulong[] _levelTriggered = new ulong[4];

    private volatile bool _externalLine;
    private IExternalInterruptSource? _externalSource;
    private int _pendingErrors;

    public LocalApic(int id, ApicBus bus, IApicTarget target, IMachineClock clock, TimestampCounter timestamp)
    {
        Id = id;
        _bus = bus;
        _target = target;
        _timer = new LocalApicTimer(clock, timestamp, vector => AcceptFixed(vector, levelTriggered: false));
        Reset();
    }

    /// <summary>The APIC id, also the processor's index.</summary>
    public int Id { get; }

    /// <summary>Enabled in IA32_APIC_BASE and by software: accepts fixed interrupts.</summary>
    public bool IsEnabled => (_base & BaseEnabled) != 0 && (_spurious & SpuriousEnabled) != 0;

    /// <inheritdoc/>
    public bool HasInterrupt => HasExternal || DeliverableVector() != None;

    /// <inheritdoc/>
    public byte TaskPriority
    {
        get => (byte)(_taskPriority >> 4);
        set => SetTaskPriority((byte)(value << 4));
    }

    /// <inheritdoc/>
    public ulong ApicBase => _base;

    /// <summary>The processor-priority register (Intel SDM vol. 3A, 11.8.3.1).</summary>
    public byte ProcessorPriority
    {
        get
        {
            int serving = Highest(_inService);
            byte task = _taskPriority;
            return serving == None || (task & 0xF0) >= (serving & 0xF0) ? task : (byte)(serving & 0xF0);
        }
    }

    private bool HasExternal => _externalLine
        && ((_base & BaseEnabled) == 0 || (!_line0.IsMasked && _line0.Mode == DeliveryMode.External));

    /// <inheritdoc/>
    public int Acknowledge()
    {
        if (HasExternal && _externalSource is { } source)
        {
            return source.Acknowledge();
        }

        int vector = DeliverableVector();
        if (vector != None)
        {
            Clear(_requests, vector);
            Set(_inService, vector);
        }

        return vector;
    }

    /// <summary>Connects LINT0 to the 8259 pair.</summary>
    public void AttachExternalSource(IExternalInterruptSource source) => _externalSource = source;

    /// <summary>Sets the level at LINT0. Any thread.</summary>
    public void SetExternalLine(bool asserted)
    {
        bool rising = asserted && !_externalLine;
        _externalLine = asserted;
        if (!rising)
        {
            return;
        }

        var entry = _line0;
        if ((_base & BaseEnabled) == 0 || entry.Mode == DeliveryMode.External)
        {
            _target.SignalInterrupt();
        }
        else if (!entry.IsMasked)
        {
            Accept(new ApicMessage((uint)Id, false, entry.Mode, entry.Vector, LevelTriggered: false));
        }
    }

    /// <summary>Takes a message that was found to be for this APIC. Any thread.</summary>
    public void Accept(in ApicMessage message)
    {
        switch (message.Mode)
        {
            case DeliveryMode.Fixed or DeliveryMode.LowestPriority:
                AcceptFixed(message.Vector, message.LevelTriggered);
                break;
            case DeliveryMode.NonMaskable:
                _target.InjectNmi();
                break;
            case DeliveryMode.Init:
                ResetByInit();
                _target.Init();
                break;
            case DeliveryMode.StartUp:
                _target.StartUp(message.Vector);
                break;
            default:
                break; // there is no SMM here, and ExtINT comes by wire
        }
    }

    /// <summary>Whether a logical destination names this APIC (Intel SDM vol. 3A, 11.6.2.2 and 11.12.10.2).</summary>
    public bool MatchesLogical(uint destination)
    {
        if (IsX2Apic)
        {
            uint own = X2LogicalId;
            return destination is 0xFF or uint.MaxValue
                || (destination >> 16 == own >> 16 && (destination & own & 0xFFFF) != 0);
        }

        uint logical = _logicalDestination >> 24;
        if ((_destinationFormat >> 28) == 0xF)
        {
            return (destination & logical & 0xFF) != 0;
        }

        uint cluster = (destination >> 4) & 0xF;
        return (cluster == 0xF || cluster == logical >> 4) && (destination & logical & 0xF) != 0;
    }

    public void Dispose() => _timer.Dispose();

    private void AcceptFixed(byte vector, bool levelTriggered)
    {
        if (vector < LowestVector)
        {
            RecordError(ErrorReceiveIllegalVector);
            return;
        }

        if (!IsEnabled)
        {
            return;
        }

        // The trigger mode must be right before the request can be seen.
        if (levelTriggered)
        {
            Set(_levelTriggered, vector);
        }
        else
        {
            Clear(_levelTriggered, vector);
        }

        Set(_requests, vector);
        _target.SignalInterrupt();
    }

    private void EndInterrupt()
    {
        int vector = Highest(_inService);
        if (vector == None)
        {
            return;
        }

        Clear(_inService, vector);
        if (IsSet(_levelTriggered, vector))
        {
            _bus.EndOfInterrupt?.Invoke((byte)vector);
        }

        SignalIfPending();
    }

    private void SetTaskPriority(byte value)
    {
        _taskPriority = value;
        SignalIfPending();
    }

    private void SignalIfPending()
    {
        if (HasInterrupt)
        {
            _target.SignalInterrupt();
        }
    }

    private void RecordError(int bit)
    {
        Interlocked.Or(ref _pendingErrors, bit);
        var entry = _error;
        if (!entry.IsMasked && entry.Vector >= LowestVector)
        {
            AcceptFixed(entry.Vector, levelTriggered: false);
        }
    }

    private int DeliverableVector()
    {
        int vector = Highest(_requests);
        return vector != None && IsEnabled && vector >> 4 > ProcessorPriority >> 4 ? vector : None;
    }

    private static int Highest(ulong[] bits)
    {
        for (int word = 3; word >= 0; word--)
        {
            ulong value = Volatile.Read(ref bits[word]);
            if (value != 0)
            {
                return (word * 64) + BitOperations.Log2(value);
            }
        }

        return None;
    }

    private static bool IsSet(ulong[] bits, int vector) => (Volatile.Read(ref bits[vector >> 6]) >> (vector & 63) & 1) != 0;

    private static void Set(ulong[] bits, int vector)
    {
        ulong bit = 1ul << (vector & 63);
        Interlocked.Or(ref bits[vector >> 6], bit);
    }

    private static void Clear(ulong[] bits, int vector)
    {
        ref ulong word = ref bits[vector >> 6];
        ulong bit = 1ul << (vector & 63);
        if ((Volatile.Read(ref word) & bit) != 0)
        {
            Interlocked.And(ref word, ~bit);
        }
    }
}
