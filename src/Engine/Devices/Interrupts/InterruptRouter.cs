using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Devices.Interrupts;

/// <summary>
/// The interrupt lines of a machine, by global system interrupt number. On a backend with its own controllers a line goes there;
/// elsewhere this makes a PIC pair and an I/O APIC and drives both. Lines 0 to 15 are the ISA interrupt requests; line 0 (the PIT)
/// reaches I/O APIC input 2, as the MADT's override says.
/// </summary>
public sealed class InterruptRouter : IResettable
{
    /// <summary>Lines, 0 to 23.</summary>
    public const int LineCount = IoApic.InputCount;

    private const int IsaLineCount = 16, CascadeLine = 2, TimerLine = 0, TimerInput = 2;

    private readonly Input[] _inputs = new Input[LineCount];

    /// <summary>Connects to a partition.</summary>
    public InterruptRouter(IPartition partition)
    {
        ArgumentNullException.ThrowIfNull(partition);
        if (!partition.Capabilities.InKernelIrqChip)
        {
            Pic = new Pic8259Pair(partition.SetExternalInterrupt);
            IoApic = new IoApic(partition.SignalMsi);
            partition.AttachExternalInterruptSource(Pic);
            partition.EndOfInterrupt = IoApic.EndOfInterrupt;
        }

        for (int gsi = 0; gsi < LineCount; gsi++)
        {
            _inputs[gsi] = new Input(this, partition, gsi);
        }
    }

    /// <summary>The PIC pair, where the backend has none.</summary>
    public Pic8259Pair? Pic { get; }

    /// <summary>The I/O APIC, where the backend has none.</summary>
    public IoApic? IoApic { get; }

    /// <summary>Puts the controllers, if there are any here, on the bus.</summary>
    public void Map(MachineBus bus)
    {
        ArgumentNullException.ThrowIfNull(bus);
        Pic?.Map(bus);
        if (IoApic is not null)
        {
            bus.MapMmio(PlatformLayout.IoApicBase, 0x1000, IoApic);
        }
    }

    /// <summary>
    /// A new source on a line. Sources are wired together: the line is asserted while any of them is (PCI 3.0, 2.2.6).
    /// Each device takes its own.
    /// </summary>
    /// <param name="gsi">0 to 23, without 2, which is the cascade of the PICs.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such line.</exception>
    public IInterruptLine Line(int gsi)
    {
        if (gsi is < 0 or >= LineCount or CascadeLine)
        {
            throw new ArgumentOutOfRangeException(nameof(gsi), gsi, "Interrupt lines are 0, 1 and 3 to 23.");
        }

        return new Source(_inputs[gsi]);
    }

    /// <summary>Times that a line went from released to asserted since the machine was powered on.</summary>
    internal long AssertionsOf(int gsi) => _inputs[gsi].Assertions;

    /// <inheritdoc/>
    /// <remarks>The levels stay: they belong to the devices, which lower theirs when they are reset.</remarks>
    public void Reset()
    {
        Pic?.Reset();
        IoApic?.Reset();
    }

    private sealed class Input(InterruptRouter router, IPartition partition, int gsi)
    {
        private readonly Lock _lock = new();
        private int _asserting;
        private long _assertions;

        public long Assertions => Volatile.Read(ref _assertions);

        public void Change(ref bool sourceLevel, bool asserted)
        {
            lock (_lock)
            {
                if (sourceLevel == asserted)
                {
                    return;
                }

                sourceLevel = asserted;
                _asserting += asserted ? 1 : -1;
                if (_asserting == (asserted ? 1 : 0))
                {
                    Output(asserted);
                }
            }
        }

        private void Output(bool asserted)
        {
            _assertions += asserted ? 1 : 0;
            if (router.IoApic is null)
            {
                partition.SetInterruptLine(gsi, asserted);
                return;
            }

            if (gsi < IsaLineCount)
            {
                router.Pic!.SetLine(gsi, asserted);
            }

            router.IoApic.SetLine(gsi == TimerLine ? TimerInput : gsi, asserted);
        }
    }

    private sealed class Source(Input input) : IInterruptLine
    {
        private bool _asserted;

        public void Set(bool asserted) => input.Change(ref _asserted, asserted);
    }
}
